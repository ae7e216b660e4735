import keras
import numpy as np
import pytest

from gss_keras.data import Augmentation, Padding, batches


class ConstantPhotos:
    """An in-memory source: all pixels of photo `i` have value `i`."""

    def __init__(self, sizes):
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        shape = self.sizes[index]
        photo = np.full((*shape, 3), index, "uint8")
        mask = np.full(shape, index % 3, "int32")
        return {"photo": photo, "mask": mask, "name": str(index)}


def scenes(count):
    return ConstantPhotos([(8, 8)] * count)


def indices(photos):
    return photos[:, 0, 0, 0].tolist()


def test_batches_of_one_epoch():
    data = batches(scenes(7), batch_size=3)
    assert len(data) == data.num_batches == 3
    for photos, masks in data:
        assert photos.dtype == np.uint8
        assert masks.dtype == np.int32
        assert masks[0, 0, 0] == photos[0, 0, 0, 0] % 3
    assert [indices(photos) for photos, _ in data] == [
        [0, 1, 2], [3, 4, 5], [6],
    ]  # fmt: skip
    data = batches(scenes(7), batch_size=3, drop_remainder=True)
    assert [indices(photos) for photos, _ in data] == [[0, 1, 2], [3, 4, 5]]


def test_every_epoch_has_its_own_order():
    data = batches(scenes(12), batch_size=4, shuffle=True, seed=3)
    epochs = [sum((indices(p) for p, _ in data), []) for _ in range(3)]
    for order in epochs:
        assert sorted(order) == list(range(12))
        assert order != list(range(12))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    again = batches(scenes(12), batch_size=4, shuffle=True, seed=3)
    again.epoch = 1
    assert sum((indices(p) for p, _ in again), []) == epochs[1]
    other = batches(scenes(12), batch_size=4, shuffle=True, seed=4)
    assert sum((indices(p) for p, _ in other), []) != epochs[0]


def test_every_epoch_has_its_own_augmentation():
    data = batches(scenes(4), 4, Augmentation(crop=(8, 8)), seed=1)
    first, second = (next(iter(data))[0] for _ in range(2))
    assert (first != second).any()
    again = batches(scenes(4), 4, Augmentation(crop=(8, 8)), seed=1)
    np.testing.assert_array_equal(next(iter(again))[0], first)
    np.testing.assert_array_equal(next(iter(again))[0], second)


def test_steps_split_infinite_batches_into_resumable_epochs():
    arguments = {"batch_size": 2, "repeat": True, "shuffle": True, "seed": 5}
    infinite = batches(scenes(5), **arguments)
    split = batches(scenes(5), **arguments, steps=3)
    assert len(split) == 3
    expected = [indices(infinite[i][0]) for i in range(12)]
    assert [indices(p) for _ in range(4) for p, _ in split] == expected
    resumed = batches(scenes(5), **arguments, steps=3)
    resumed.epoch = 2
    assert [indices(p) for p, _ in resumed] == expected[6:9]
    with pytest.raises(ValueError, match="repeat=True"):
        batches(scenes(5), 2, steps=3)


def test_repeated_batches_span_passes_over_the_records():
    data = batches(scenes(3), batch_size=2, repeat=True)
    assert data.num_batches is None
    assert [indices(data[index][0]) for index in range(4)] == [
        [0, 1], [2, 0], [1, 2], [0, 1],
    ]  # fmt: skip
    with pytest.raises(TypeError, match="`steps_per_epoch`"):
        len(data)


def test_batches_do_not_depend_on_workers():
    kwargs = dict(augmentation=Augmentation(crop=(6, 6)), shuffle=True, seed=5)
    sequential = batches(scenes(6), 2, **kwargs)
    parallel = batches(scenes(6), 2, workers=1, **kwargs)
    for _ in range(2):
        for (photos, masks), expected in zip(parallel, sequential, strict=True):
            np.testing.assert_array_equal(photos, expected[0])
            np.testing.assert_array_equal(masks, expected[1])
    parallel.close()


def test_photos_of_different_sizes():
    source = ConstantPhotos([(8, 8), (8, 8), (8, 9)])
    assert len(list(batches(source, batch_size=1))) == 3
    data = batches(source, batch_size=2)
    assert data[0][0].shape == (2, 8, 8, 3)
    data = batches(source, batch_size=3)
    with pytest.raises(
        ValueError, match=r"the same size.*\(8, 8\) for 0 and \(8, 9\)"
    ):
        data[0]
    data = batches(source, batch_size=3, augmentation=Padding((8, 12)))
    assert data[0][0].shape == (3, 8, 12, 3)


def tiny_model():
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(3, 3, padding="same"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=255
    )
    model.compile(keras.optimizers.SGD(0.5), loss)
    return model


# Keras' own conversion of torch tensors to NumPy.
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_fit_evaluate_and_predict():
    keras.utils.set_random_seed(0)
    source = scenes(5)
    train = batches(source, 2, Augmentation(crop=(6, 6)), shuffle=True)
    validation = batches(source, 2)
    model = tiny_model()
    before = model.evaluate(validation, verbose=0)
    steps = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, **_: steps.append(batch)
    )
    history = model.fit(
        train,
        epochs=3,
        validation_data=validation,
        verbose=0,
        callbacks=[callback],
    ).history
    assert steps == [0, 1, 2] * 3
    assert len(history["val_loss"]) == 3
    assert model.evaluate(validation, verbose=0) < before
    assert model.predict(validation, verbose=0).shape == (5, 8, 8, 3)
    infinite = batches(source, 2, repeat=True)
    history = model.fit(
        infinite, steps_per_epoch=4, epochs=2, shuffle=False, verbose=0
    ).history
    assert len(history["loss"]) == 2


def test_resumed_fit_equals_uninterrupted_fit():
    losses = []
    for parts in ([4], [2, 2]):
        keras.utils.set_random_seed(0)
        model = tiny_model()
        model(np.zeros((1, 8, 8, 3)))
        epoch, run_losses = 0, []
        for epochs in parts:
            data = batches(scenes(4), 2, Augmentation((6, 6)), shuffle=True)
            data.epoch = epoch
            history = model.fit(data, epochs=epochs, shuffle=False, verbose=0)
            run_losses += history.history["loss"]
            epoch = data.epoch
        losses.append(run_losses)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(batch_size=0), "`batch_size` must be an int of at least 1.*=0"),
        (dict(batch_size=1.5), "Received: batch_size=1.5"),
        (dict(batch_size=2, workers=-1), "`workers` must .*workers=-1"),
        (dict(batch_size=2, seed=-1), "`seed` must .*seed=-1"),
        (dict(batch_size=2, augmentation=3), "`augmentation` must be `None`"),
        (dict(batch_size=9, drop_remainder=True), "at least one batch"),
    ],
)
def test_invalid_arguments_raise(kwargs, message):
    with pytest.raises(ValueError, match=message):
        batches(scenes(3), **kwargs)


def test_out_of_range_indices_raise():
    with pytest.raises(IndexError, match="number of batches, 2.*index=2"):
        batches(scenes(3), 2)[2]
