"""Feed the records of a source to `fit`, `evaluate` and `predict`."""

import concurrent.futures
import math
import multiprocessing
import weakref

import keras

from gss_keras.data.sources import IGNORE_LABEL, stack
from gss_keras.ops.backend import keep_freed_memory


class Batches(keras.utils.PyDataset):
    """Yields batches of photos and masks; built by `batches`.

    The content of batch `i` of pass `p` over the data is a function of the
    source, the arguments and the seed alone: `grain` gives random access, a
    new order for every pass and a seed of its own to every record. So the
    number of workers changes the speed and never the samples.

    A `keras.utils.PyDataset` rather than a bare `grain` dataset, since `fit`
    knows no length of a `grain` dataset: measured on Keras 3.15, its progress
    bar shows no total, the first epoch ends with a "ran out of data" warning,
    and a finite set repeats the very same random crops every epoch. For the
    same reason worker processes are a pool asked for batches by number and
    not `grain`'s stream: `fit` peeks at a first batch and starts over.

    Attributes:
        epoch: Number of the pass that begins next. Set it to go on where an
            interrupted training stopped.
        failure: The error that reading a batch ended with, or None.
            TensorFlow wraps it into one of its own on the way out of `fit`.
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
        # Keras asks for batches ahead of time only with two threads or more.
        super().__init__(
            workers=workers + 1 if workers else 1,
            max_queue_size=2 * workers + 2,
        )
        self.source = source
        self.batch_size = batch_size
        self.shard = shard
        self.epoch = 0
        self.failure = None
        self._pass = 0
        self._repeat = repeat
        self._steps = steps
        self._drop_remainder = drop_remainder
        self._masks_only = masks_only
        self._num_processes = workers
        self._recipe = (source, augmentation, seed, shuffle)
        self._records = _records(*self._recipe)
        self._pool = None

    @property
    def num_batches(self):
        """Number of batches in one pass; `None` if the batches never end."""
        if self._repeat:
            return self._steps
        count = len(self.source) / self.batch_size
        return math.floor(count) if self._drop_remainder else math.ceil(count)

    def __len__(self):
        """Return the number of batches in one pass."""
        if self.num_batches is None:
            raise TypeError(
                "Batches with `repeat=True` have no length; give "
                "`steps_per_epoch` to `fit`."
            )
        return self.num_batches

    def __getitem__(self, index):
        """Return a batch of the current pass.

        Args:
            index: Number of the batch, a non-negative int.

        Returns:
            A pair: photos, uint8 `(batch, height, width, 3)`, 0-255, and
            masks, int32 `(batch, height, width)`, class ids or 255. With
            `masks_only` the masks alone, a tuple of one.

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
            index += self._pass * self._steps
        start = index * self.batch_size
        stop = start + self.batch_size
        if not self._repeat:
            size = len(self.source)
            start, stop = (
                self._pass * size + min(position, size)
                for position in (start, stop)
            )
        share = _share(start, stop, self.shard)
        try:
            if self._num_processes:
                batch = self._processes().submit(_work, *share).result()
            else:
                batch = _read_batch(self._records, *share)
        except (ValueError, OSError) as error:
            self.failure = error
            raise
        return batch[1:] if self._masks_only else batch

    def __iter__(self):
        """Iterate over the next pass."""
        self.on_epoch_begin()
        yield from super().__iter__()

    def on_epoch_begin(self):
        """Begin the next pass: a new order and new random transforms."""
        self._pass = self.epoch
        self.epoch += 1

    def close(self):
        """Stop the worker processes. They start again when needed."""
        if self._pool is not None:
            self._stop()
            self._pool = None

    def _processes(self):
        """Return the pool of worker processes, started at first use."""
        if self._pool is None:
            # Forking a process that runs a backend's threads can deadlock.
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self._num_processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_prepare_worker,
                initargs=self._recipe,
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

    Every pass has an order and random transforms of its own, all drawn from
    the seed. `fit` also shuffles the batches of a pass among themselves
    unless it is called with `shuffle=False`.

    Args:
        source: A source such as `Folders`: `len(source)`, and `source[i]` a
            dict with `"photo"`, `"mask"` and `"name"`.
        batch_size: Number of photos in a batch.
        augmentation: `None` or a callable such as `Augmentation`, called with
            a photo, a mask and a `numpy.random.Generator`, which returns the
            photo and mask to use.
        seed: Seed of order and augmentation, an int in `[0, 2**32)`.
        shuffle: Whether every pass goes through the records in a new random
            order.
        repeat: Whether the batches never end, for `steps_per_epoch`. Batches
            then go across the end of a pass.
        workers: Number of worker processes. With 0 batches are made in this
            process. A script that uses workers needs
            `if __name__ == "__main__":`, as always in Python.
        drop_remainder: Whether a last batch with fewer photos is left out.
        masks_only: Whether batches hold the masks alone, for a
            `LatentPosterior`.
        steps: Number of batches that count as one pass where batches never
            end. Then setting `epoch` goes on at any step of a training, and
            `fit` needs no `steps_per_epoch`.
        shard: What `gss_keras.distribution.shard()` returns. `(index, count)`
            for one of `count` processes that read each batch together:
            `batch_size` is that of all of them, and no photo is read twice.
            `(None, count)` for batches that divide by `count` devices. Where
            photos are missing for that, others of the batch are repeated with
            every pixel ignored.

    Returns:
        A `Batches`, a `keras.utils.PyDataset` of pairs: photos, uint8
        `(batch, height, width, 3)`, 0-255, and masks, int32
        `(batch, height, width)`, class ids or 255.

    Raises:
        ValueError: If an argument is out of range, or, when such a batch is
            asked for, if its photos differ in size.

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
                "`steps` needs batches that never end, `repeat=True`. "
                f"Received: steps={steps}, repeat={repeat}"
            )
    if shard is not None:
        _check_shard(*shard)
    if not len(source) or (drop_remainder and len(source) < batch_size):
        raise ValueError(
            "`source` must hold at least one batch. Received: "
            f"len(source)={len(source)}, batch_size={batch_size}, "
            f"drop_remainder={drop_remainder}"
        )
    if augmentation is not None and not callable(augmentation):
        raise ValueError(
            "`augmentation` must be `None` or a callable of a photo, a mask "
            f"and a random generator. Received: augmentation={augmentation!r}"
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
    """Applies an augmentation to a record; picklable."""

    def __init__(self, augmentation):
        self.augmentation = augmentation

    def __call__(self, record, generator):
        photo, mask = self.augmentation(
            record["photo"], record["mask"], generator
        )
        return {"photo": photo, "mask": mask, "name": record["name"]}


def _records(source, augmentation, seed, shuffle):
    """Return the records of all passes, one after another, as a dataset."""
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


def _share(start, stop, shard):
    """Return which records a shard reads of a batch, and how many count."""
    batch = list(range(start, stop))
    if shard is None:
        return batch, len(batch)
    index, count = shard
    if index is None:
        missing = -len(batch) % count
        return batch + (batch * missing)[:missing], len(batch)
    first, end = (len(batch) * i // count for i in (index, index + 1))
    # With fewer photos than processes some have none that counts.
    return batch[first:end] or batch[:1], end - first


def _read_batch(records, positions, counted):
    """Stack records; ignore all pixels of those that do not count."""
    photos, masks = stack([records[position] for position in positions])
    masks[counted:] = IGNORE_LABEL
    return photos, masks


_worker_records = None


def _prepare_worker(*recipe):
    """Build the records once in a worker process."""
    global _worker_records
    _worker_records = _records(*recipe)


def _work(positions, counted):
    """Make a batch in a worker process."""
    return _read_batch(_worker_records, positions, counted)


def _check_count(argument, value, lowest):
    """Raise unless a value is an int of at least `lowest`, below 2**32."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if not is_count or not lowest <= value < 2**32:
        raise ValueError(
            f"`{argument}` must be an int of at least {lowest}. "
            f"Received: {argument}={value!r}"
        )


def _check_shard(index, count):
    """Raise unless there are as many shards as the index needs."""
    _check_count("shard[1]", count, 1)
    if index is not None and index not in range(count):
        raise ValueError(
            "`shard` must be `(index, count)` with an index from 0 to below "
            "`count`, or None for whole batches. "
            f"Received: shard={(index, count)}"
        )
