"""Input pipeline: batch a source for `fit`, `evaluate` and `predict`."""

import concurrent.futures
import math
import multiprocessing
import weakref

import keras

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.sources import stack
from gss_keras.ops.private import keep_freed_memory


class Batches(keras.utils.PyDataset):
    """Yield batches of photos and masks; created by `batches`.

    Batch `i` of epoch `e` is a deterministic function of the source, the
    arguments and the seed: `grain` provides random access, a new shuffle for
    every epoch and a separate random seed for every record. The number of
    workers changes the throughput but never the samples.

    This is a `keras.utils.PyDataset` and not a bare `grain` dataset because
    `fit` cannot tell the length of a `grain` dataset: in Keras 3.15, the
    progress bar shows no total, the first epoch ends with a "ran out of data"
    warning, and a finite data set repeats the same random crops every epoch.
    For the same reason the worker processes are a pool that reads batches by
    index, and not `grain`'s prefetching iterator: `fit` peeks at the first
    batch and then restarts.

    Attributes:
        epoch: Index of the next epoch, from 0. Set it to resume training.
        failure: The exception raised while reading a batch, or None.
            TensorFlow replaces it with an exception of its own in `fit`.
    """

    def __init__(
        self,
        source,
        batch_size,
        augmentation,
        seed,
        shuffle,
        repeat,
        workers,
        drop_remainder,
        masks_only,
        steps,
        shard,
    ):
        # Keras prefetches batches only with two threads or more.
        super().__init__(
            workers=workers + 1 if workers else 1,
            max_queue_size=2 * workers + 2,
        )
        self.source = source
        self.batch_size = batch_size
        self.shard = shard
        self.epoch = 0
        self.failure = None
        self._current_epoch = 0
        self._repeat = repeat
        self._steps = steps
        self._drop_remainder = drop_remainder
        self._masks_only = masks_only
        self._num_processes = workers
        self._dataset_args = (source, augmentation, seed, shuffle)
        self._records = _build_dataset(*self._dataset_args)
        self._pool = None

    @property
    def num_batches(self):
        """Number of batches per epoch; `None` for an infinite data set."""
        if self._repeat:
            return self._steps
        count = len(self.source) / self.batch_size
        return math.floor(count) if self._drop_remainder else math.ceil(count)

    def __len__(self):
        """Return the number of batches per epoch."""
        if self.num_batches is None:
            raise TypeError(
                "Batches with `repeat=True` have no length; pass "
                "`steps_per_epoch` to `fit`."
            )
        return self.num_batches

    def __getitem__(self, index):
        """Return a batch of the current epoch.

        Args:
            index: Index of the batch, a non-negative int.

        Returns:
            A pair: photos, uint8 `(batch, height, width, 3)`, 0-255, and
            masks, int32 `(batch, height, width)`, class ids or 255. With
            `masks_only`, the 1-tuple `(masks,)`.

        Raises:
            IndexError: If there is no such batch.
        """
        count = self.num_batches
        if index < 0 or (count is not None and index >= count):
            raise IndexError(
                "`index` must be at least 0 and below the number of batches, "
                f"{count}. Received: index={index}"
            )
        keep_freed_memory()
        if self._steps is not None:
            index += self._current_epoch * self._steps
        start = index * self.batch_size
        stop = start + self.batch_size
        if not self._repeat:
            size = len(self.source)
            start, stop = (
                self._current_epoch * size + min(position, size)
                for position in (start, stop)
            )
        shard = _shard_indices(start, stop, self.shard)
        try:
            if self._num_processes:
                pool = self._start_pool()
                batch = pool.submit(_read_batch_in_worker, *shard).result()
            else:
                batch = _read_batch(self._records, *shard)
        except (ValueError, OSError) as error:
            self.failure = error
            raise
        return batch[1:] if self._masks_only else batch

    def __iter__(self):
        """Iterate over the next epoch."""
        self.on_epoch_begin()
        yield from super().__iter__()

    def on_epoch_begin(self):
        """Start the next epoch: a new order and new random transforms."""
        self._current_epoch = self.epoch
        self.epoch += 1

    def close(self):
        """Stop the worker processes. They restart on the next access."""
        if self._pool is not None:
            self._stop()
            self._pool = None

    def _start_pool(self):
        """Return the process pool, starting it on first use."""
        if self._pool is None:
            # Forking a process that runs a backend's threads can deadlock.
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self._num_processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_init_worker,
                initargs=self._dataset_args,
            )
            self._stop = weakref.finalize(
                self, self._pool.shutdown, wait=True, cancel_futures=True
            )
        return self._pool


def batches(
    source,
    batch_size,
    augmentation=None,
    seed=0,
    shuffle=False,
    repeat=False,
    workers=0,
    drop_remainder=False,
    masks_only=False,
    steps=None,
    shard=None,
):
    """Batch the records of a source for `fit`, `evaluate` and `predict`.

    Every epoch has its own order and random transforms, all derived from the
    seed. `fit` also shuffles the order of the batches within an epoch unless
    it is called with `shuffle=False`.

    Args:
        source: A random-access source such as `Folders`: `len(source)` is the
            number of records, and `source[i]` a dict with `"photo"`, `"mask"`
            and `"name"`.
        batch_size: Number of photos per batch.
        augmentation: `None` or a callable such as `Augmentation`. It is
            called with a photo, a mask and a `numpy.random.Generator` and
            returns the augmented photo and mask.
        seed: Random seed of shuffling and augmentation, an int in
            `[0, 2**32)`.
        shuffle: Whether to reshuffle the records in every epoch.
        repeat: Whether to repeat the data set infinitely, for
            `steps_per_epoch`. A batch can then span two passes over the
            records.
        workers: Number of worker processes; 0 reads in the main process. A
            script that uses workers needs an `if __name__ == "__main__":`
            guard, like any script that spawns processes.
        drop_remainder: Whether to drop the last batch if it is incomplete.
        masks_only: Whether batches contain only the masks, for a
            `LatentPosterior`.
        steps: Number of batches per epoch with `repeat=True`. Setting `epoch`
            can then resume training at any multiple of it, and `fit` needs no
            `steps_per_epoch`.
        shard: Return value of `gss_keras.distribution.shard()`.
            `(index, count)` for one of `count` processes, each of which reads
            a different part of every batch: `batch_size` is the global batch
            size. `(None, count)` for batches whose size is a multiple of
            `count` devices. If photos are missing for that, others of the
            batch are repeated with every pixel ignored.

    Returns:
        A `Batches`, a `keras.utils.PyDataset` of pairs: photos, uint8
        `(batch, height, width, 3)`, 0-255, and masks, int32
        `(batch, height, width)`, class ids or 255.

    Raises:
        ValueError: If an argument is out of range. When a batch is read, if
            its photos differ in size.

    Example:
        >>> import tempfile
        >>> from gss_keras.data import Augmentation, batches
        >>> from gss_keras.synthetic import streets
        >>> source = streets.draw(tempfile.mkdtemp() + "/streets", 3, seed=0)
        >>> train = batches(source, 2, Augmentation(crop=(64, 64)))
        >>> len(train), [photos.shape for photos, masks in train]
        (2, [(2, 64, 64, 3), (1, 64, 64, 3)])
    """
    _check_count("batch_size", batch_size, 1)
    _check_count("workers", workers, 0)
    _check_count("seed", seed, 0)
    if steps is not None:
        _check_count("steps", steps, 1)
        if not repeat:
            raise ValueError(
                "`steps` needs an infinite data set, `repeat=True`. "
                f"Received: steps={steps}, repeat={repeat}"
            )
    if shard is not None:
        _check_shard(*shard)
    if not len(source) or (drop_remainder and len(source) < batch_size):
        raise ValueError(
            "`source` must contain at least one batch. Received: "
            f"len(source)={len(source)}, batch_size={batch_size}, "
            f"drop_remainder={drop_remainder}"
        )
    if augmentation is not None and not callable(augmentation):
        raise ValueError(
            "`augmentation` must be `None` or a callable that takes a photo, a "
            "mask and a random generator. "
            f"Received: augmentation={augmentation!r}"
        )
    return Batches(
        source=source,
        batch_size=batch_size,
        augmentation=augmentation,
        seed=seed,
        shuffle=shuffle,
        repeat=repeat,
        workers=workers,
        drop_remainder=drop_remainder,
        masks_only=masks_only,
        steps=steps,
        shard=shard,
    )


class _Augment:
    """Apply an augmentation to a record; picklable for worker processes."""

    def __init__(self, augmentation):
        self.augmentation = augmentation

    def __call__(self, record, generator):
        photo, mask = self.augmentation(
            record["photo"], record["mask"], generator
        )
        return {"photo": photo, "mask": mask, "name": record["name"]}


def _build_dataset(source, augmentation, seed, shuffle):
    """Return the infinite `grain.MapDataset` of augmented records."""
    try:
        import grain
    except ImportError as error:
        raise ImportError(
            "`batches` needs the package `grain`. Install it with "
            "`pip install gss-keras[data]`."
        ) from error

    records = grain.MapDataset.source(source).seed(seed)
    if shuffle:
        records = records.shuffle()
    if augmentation is not None:
        records = records.random_map(_Augment(augmentation))
    return records.repeat()


def _shard_indices(start, stop, shard):
    """Return a shard's record indices in a batch, and how many are valid."""
    batch = list(range(start, stop))
    if shard is None:
        return batch, len(batch)
    index, count = shard
    if index is None:
        missing = -len(batch) % count
        return batch + (batch * missing)[:missing], len(batch)
    first, end = (len(batch) * i // count for i in (index, index + 1))
    # With fewer photos than processes, some processes have no valid photo.
    return batch[first:end] or batch[:1], end - first


def _read_batch(records, indices, num_valid):
    """Stack records, ignoring all pixels after the first `num_valid`."""
    photos, masks = stack([records[index] for index in indices])
    masks[num_valid:] = IGNORE_LABEL
    return photos, masks


_worker_records = None


def _init_worker(*dataset_args):
    """Build the data set once per worker process."""
    global _worker_records
    _worker_records = _build_dataset(*dataset_args)


def _read_batch_in_worker(indices, num_valid):
    """Read a batch in a worker process."""
    return _read_batch(_worker_records, indices, num_valid)


def _check_count(argument, value, lowest):
    """Raise ValueError unless a value is an int in `[lowest, 2**32)`."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if not is_count or not lowest <= value < 2**32:
        raise ValueError(
            f"`{argument}` must be an int of at least {lowest}. "
            f"Received: {argument}={value!r}"
        )


def _check_shard(index, count):
    """Raise ValueError unless a shard index is in `[0, count)` or None."""
    _check_count("shard[1]", count, 1)
    if index is not None and index not in range(count):
        raise ValueError(
            "`shard` must be `(index, count)` with an index in `[0, count)`, "
            "or None for whole batches. "
            f"Received: shard={(index, count)}"
        )
