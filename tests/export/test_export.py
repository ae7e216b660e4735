import concurrent.futures
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from choice_checks import check_best
from keras import ops
from tiny import tiny_backbone, tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras import export
from gss_keras.export import elsewhere

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="of TensorFlow"
)
ALL = ("masks", "confidence", "tokens", "maskige")

# Runs a SavedModel where this package cannot be imported.
FRESH = """
import sys
sys.modules["gss_keras"] = None
import numpy as np
import tensorflow as tf

serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
for path in sys.argv[2:]:
    answers = serve(photos=tf.constant(np.load(path)))
    np.savez(path + ".npz", **{k: v.numpy() for k, v in answers.items()})
"""


@pytest.fixture(scope="module")
def segmenter():
    keras.utils.set_random_seed(0)
    return gss_keras.GenerativeSegmenter(tiny_prior())


@pytest.fixture(scope="module")
def saved(segmenter, tmp_path_factory):
    base = tmp_path_factory.mktemp("export") / "model"
    path = segmenter.export(base, version=1, outputs=ALL)
    assert path == base / "1"
    return path


def photos_of_sizes():
    photos = tiny_data()[0]
    return [photos, photos[:1, :23, :17], photos[:2, :1, :1]]


def in_a_fresh_process(saved, batches, folder):
    paths = [str(folder / f"{i}.npy") for i in range(len(batches))]
    for path, photos in zip(paths, batches, strict=True):
        np.save(path, photos)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", FRESH, str(saved), *paths],
        cwd=folder,
        env=environment,
        check=True,
    )
    return [dict(np.load(path + ".npz")) for path in paths]


def test_a_process_without_this_package_answers_the_same(
    segmenter, saved, tmp_path
):
    batches = photos_of_sizes()
    if keras.backend.backend() != "tensorflow":
        # The file is TensorFlow's; one size of photo tells whose weights.
        batches = batches[1:2]
    answers = in_a_fresh_process(saved, batches, tmp_path)
    for photos, answer in zip(batches, answers, strict=True):
        assert set(answer) == set(ALL)
        assert answer["masks"].dtype == answer["tokens"].dtype == np.int32
        # Step by step, each from the exported result of the one before: a
        # token that another backend chooses otherwise changes many pixels.
        tensor = ops.convert_to_tensor(photos)
        logits = segmenter.prior.token_logits(tensor)
        check_best(answer["tokens"], ops.convert_to_numpy(logits))
        expected = segmenter.infer(
            tensor, ("maskige", "logits"), known={"tokens": answer["tokens"]}
        )
        np.testing.assert_allclose(
            answer["maskige"],
            ops.convert_to_numpy(expected["maskige"]),
            atol=1e-4,
        )
        check_best(answer["masks"], ops.convert_to_numpy(expected["logits"]))
        confidence = answer["confidence"]
        assert confidence.dtype == np.float32
        assert confidence.shape == photos.shape[:3]
        assert 0 < confidence.min() and confidence.max() <= 1


def test_confidence_is_the_probability_of_the_class_in_the_mask(segmenter):
    photos = tiny_data()[0]
    answers = export.answer(segmenter, ops.convert_to_tensor(photos))
    answers = {k: ops.convert_to_numpy(v) for k, v in answers.items()}
    np.testing.assert_array_equal(answers["masks"], segmenter.predict(photos))
    seen = segmenter.prior(ops.convert_to_tensor(photos), training=False)
    logits = ops.convert_to_numpy(seen["pixel_logits"]).astype("float64")
    likely = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    # Midway between the centers of four positions, all four count alike.
    corners = [likely[:, 1:3, 1:3].mean(axis=(1, 2))]
    quarter = answers["masks"][:, 6:10, 6:10]
    around = answers["confidence"][:, 6:10, 6:10]
    inner = around[:, 1:3, 1:3].mean(axis=(1, 2))
    is_one_class = (quarter == quarter[:, :1, :1]).all(axis=(1, 2))
    expected = np.take_along_axis(corners[0], quarter[:, :1, 0], axis=1)[:, 0]
    np.testing.assert_allclose(
        inner[is_one_class], expected[is_one_class], atol=1e-5
    )
    # In a corner nothing is mixed in.
    first = answers["masks"][:, 0, 0]
    np.testing.assert_allclose(
        answers["confidence"][:, 0, 0],
        likely[np.arange(4), 0, 0, first],
        atol=1e-5,
    )


def test_without_a_pixel_branch_it_is_the_probability_of_the_token():
    prior = tiny_prior(pixel_branch=None)
    segmenter = gss_keras.GenerativeSegmenter(prior)
    photos = tiny_data()[0][:, :30, :45]
    tensor = ops.convert_to_tensor(photos)
    answers = export.answer(segmenter, tensor, ("confidence", "tokens"))
    assert set(answers) == {"confidence", "tokens"}
    logits = ops.convert_to_numpy(prior.token_logits(tensor))
    likely = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    likely = likely.max(axis=-1).repeat(4, axis=1).repeat(4, axis=2)
    confidence = ops.convert_to_numpy(answers["confidence"])
    np.testing.assert_allclose(confidence, likely[:, :30, :45], atol=1e-5)


def test_a_discriminative_segmenter_knows_its_probabilities():
    segmenter = gss_keras.DiscriminativeSegmenter(
        tiny_backbone(), 5, head="fcn", channels=8
    )
    photos = tiny_data()[0]
    answers = export.answer(
        segmenter, ops.convert_to_tensor(photos), ("masks", "confidence")
    )
    logits = segmenter.predict_logits(photos)
    likely = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    confidence = ops.convert_to_numpy(answers["confidence"])
    np.testing.assert_allclose(confidence, likely.max(axis=-1), atol=1e-5)
    with pytest.raises(ValueError, match="of a DiscriminativeSegmenter"):
        segmenter.export("never_written", outputs=("tokens",))


def test_windows_answer_as_predict_does(segmenter):
    photos = tiny_data()[0]
    arguments = {"window": (20, 32), "stride": (12, 20)}
    answers = export.answer(
        segmenter,
        ops.convert_to_tensor(photos),
        ("masks", "confidence"),
        **arguments,
    )
    masks = ops.convert_to_numpy(answers["masks"])
    np.testing.assert_array_equal(masks, segmenter.predict(photos, **arguments))
    with pytest.raises(ValueError, match="in windows, each of which"):
        export.answer(segmenter, photos, **arguments)
    whole = export.answer(
        segmenter, ops.convert_to_tensor(photos), window=(99, 99),
        stride=(9, 9), outputs=("masks", "confidence"),
    )  # fmt: skip
    for name, value in export.answer(
        segmenter, ops.convert_to_tensor(photos), ("masks", "confidence")
    ).items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(whole[name]),
            ops.convert_to_numpy(value),
            atol=1e-5,
        )


@tensorflow_only
def test_windows_of_any_photo_are_scored_in_the_graph(tmp_path):
    import tensorflow as tf

    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(), window=(20, 32))
    segmenter.export(tmp_path / "model")
    serve = tf.saved_model.load(tmp_path / "model").signatures[
        "serving_default"
    ]
    for photos in photos_of_sizes():
        masks = serve(photos=tf.constant(photos))["masks"].numpy()
        np.testing.assert_array_equal(masks, segmenter.predict(photos))


BAD_PHOTOS = {
    "gray": (np.zeros((1, 8, 8, 1), "uint8"), "must be RGB.*1 8 8 1"),
    "alpha": (np.zeros((1, 8, 8, 4), "uint8"), "must be RGB.*1 8 8 4"),
    "single": (np.zeros((8, 8, 3), "uint8"), "must be RGB.*8 8 3"),
    "no batch": (np.zeros((0, 8, 8, 3), "uint8"), "at least one.*0 8 8 3"),
    "no pixel": (np.zeros((1, 8, 0, 3), "uint8"), "at least one.*1 8 0 3"),
    "huge": (np.zeros((1, 4000, 2000, 3), "uint8"), "at most 4194304 pixels"),
}


@tensorflow_only
@pytest.mark.parametrize("photos, message", BAD_PHOTOS.values(), ids=BAD_PHOTOS)
def test_the_graph_refuses_what_is_no_photo(saved, photos, message):
    import tensorflow as tf

    serve = tf.saved_model.load(saved).signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        serve(photos=tf.constant(photos))


@tensorflow_only
@pytest.mark.slow
def test_saved_model_cli_runs_it(segmenter, saved, tmp_path):
    photos = tiny_data()[0]
    np.save(tmp_path / "photos.npy", photos)
    subprocess.run(
        [
            *(sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"),
            *("run", "--dir", saved, "--tag_set", "serve"),
            *("--signature_def", "serving_default", "--outdir", tmp_path),
            *("--inputs", f"photos={tmp_path / 'photos.npy'}"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    masks = np.load(tmp_path / "masks.npy")
    np.testing.assert_array_equal(masks, segmenter.predict(photos))


@tensorflow_only
def test_tensorflow_serving_clients_are_answered(segmenter, tmp_path):
    pytest.importorskip("tensorflow_serving")
    import grpc
    import prediction_server

    size = (32, 48)
    base = tmp_path / "segmenter"
    for number in (1, 2):
        path = segmenter.export(
            base,
            version="next",
            size=size,
            warmup_sizes=[size],
            max_batch_size=4,
        )
        assert path == base / str(number)
    parameters = (path / "batching_params.pbtxt").read_text()
    values = dict(re.findall(r"(\w+) \{ value: (\d+) \}", parameters))
    assert values["max_batch_size"] == "4"

    server, port, service = prediction_server.serve(base)
    try:
        assert (service.folder.name, service.warmed_up) == ("2", 1)
        predict = prediction_server.client(port)
        photos, _ = tiny_data(count=8)
        expected = segmenter.predict(photos)
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda p: predict(p[None]), photos))
        masks = np.concatenate([answer["masks"] for answer in answers])
        np.testing.assert_array_equal(masks, expected)
        assert {name for a in answers for name in a} == {"masks", "confidence"}
        bad = {
            "32 pixels high and 48 wide.*1 8 8 3": photos[:1, :8, :8],
            "must be RGB.*1 32 48 1": photos[:1, :, :, :1],
            "at least one photo.*0 32 48 3": photos[:0],
        }
        for message, refused in bad.items():
            with pytest.raises(grpc.RpcError, match=message) as error:
                predict(refused)
            assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    finally:
        server.stop(None).wait()


def cut_short(photos):
    import tensorflow as tf

    proto = tf.make_tensor_proto(photos)
    proto.tensor_content = proto.tensor_content[:-1]
    return proto


@tensorflow_only
def test_a_server_outlives_bad_requests(segmenter, saved):
    pytest.importorskip("tensorflow_serving")
    import grpc
    import prediction_server

    photos = tiny_data()[0]
    bad = [(bad, {}, message) for bad, message in BAD_PHOTOS.values()]
    bad += [
        (photos.astype("uint16") * 257, {}, "must be uint8.*uint16"),
        (photos.astype("int16"), {}, "must be uint8.*int16"),
        (photos.astype("float32") / 255, {}, "must be uint8.*float32"),
        (np.array([b"street.png"]), {}, "must be uint8.*string"),
        (cut_short(photos), {}, "`photos` is not a valid tensor"),
        (photos, {"name": "images"}, r"takes \['photos'\].*'images'"),
    ]
    server, port, _ = prediction_server.serve(saved.parent)
    try:
        predict = prediction_server.client(port)
        for request, options, message in bad:
            with pytest.raises(grpc.RpcError, match=message) as error:
                predict(request, **options)
            assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert len(error.value.details()) < 500
        for good in photos_of_sizes():
            masks = predict(good)["masks"]
            np.testing.assert_array_equal(masks, segmenter.predict(good))
    finally:
        server.stop(None).wait()


@tensorflow_only
@pytest.mark.parametrize(
    "windows",
    [
        {},
        pytest.param(
            {"window": (20, 32), "stride": (12, 20)}, marks=pytest.mark.slow
        ),
    ],
    ids=["whole", "windows"],
)
def test_onnx_runtime_gives_the_same_masks(segmenter, windows, tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "segmenter.onnx"
    segmenter.export(path, "onnx", **windows)
    session = runtime.InferenceSession(path)
    for photos in photos_of_sizes():
        masks, confidence = session.run(
            ["masks", "confidence"], {"photos": photos}
        )
        predicted = segmenter.predict(photos, **windows)
        np.testing.assert_array_equal(masks, predicted)
        assert confidence.shape == masks.shape
    assert list(tmp_path.iterdir()) == [path]


@tensorflow_only
def test_the_converter_divides_negative_numbers_as_tensorflow(tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    import tensorflow as tf

    def divide(x):
        y = tf.cast(x, "float32")
        return {
            "quotient": x // 7,
            "remainder": x % 7,
            "float_quotient": y // 7,
            "float_remainder": y % 7,
            "erfc": tf.math.erfc(y / 8),
        }

    archive = keras.export.ExportArchive()
    numbers = keras.InputSpec("int32", (None,), name="x")
    archive.add_endpoint("serve", divide, input_signature=[numbers])
    archive.write_out(str(tmp_path / "model"), verbose=False)
    elsewhere.convert_to_onnx(tmp_path / "model", tmp_path / "model.onnx")
    x = np.arange(-30, 31, dtype="int32")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    answers = dict(zip(names, session.run(names, {"x": x}), strict=True))
    np.testing.assert_array_equal(answers["quotient"], x // 7)
    np.testing.assert_array_equal(answers["remainder"], x % 7)
    np.testing.assert_allclose(answers["float_quotient"], x // 7)
    np.testing.assert_allclose(answers["float_remainder"], x % 7, atol=1e-5)
    erfc = tf.math.erfc(x.astype("float32") / 8).numpy()
    np.testing.assert_allclose(answers["erfc"], erfc, atol=1e-6)


REFUSED = {
    "format": ({"format": "tflite"}, "`format` must be one of"),
    "outputs": ({"outputs": ("mask",)}, "`outputs` must name"),
    "nothing": ({"outputs": ()}, "`outputs` must name"),
    "tokens": (
        {"outputs": ("tokens",), "window": (20, 32)},
        "in windows.*`window='whole'`",
    ),
    "size": ({"size": (32,)}, "`size`.*two positive ints"),
    "pixels": ({"max_pixels": 0}, "`max_pixels` must be a positive int"),
    "too small": (
        {"max_pixels": 99, "warmup_sizes": [(10, 10)]},
        "`max_pixels` must be at least",
    ),
    "warm-up": (
        {"size": (32, 48), "warmup_sizes": [(32, 32)]},
        "`warmup_sizes` must equal `size`",
    ),
    "batching": ({"max_batch_size": 4}, "needs a `size`"),
    "batch": (
        {"size": (9, 11), "max_batch_size": 4, "max_pixels": 99},
        "`max_pixels` must be at least",
    ),
    "version": ({"version": 0}, "`version` must be"),
    "unknown": ({"input_signature": None}, "`size`.*input_signature=None"),
    "window": ({"window": (20,)}, "`window` must be two positive ints"),
}


@tensorflow_only
@pytest.mark.parametrize("arguments, message", REFUSED.values(), ids=REFUSED)
def test_bad_arguments_are_refused(segmenter, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        segmenter.export(tmp_path / "model", **arguments)
    assert not list(tmp_path.iterdir())


@tensorflow_only
def test_nothing_is_overwritten(segmenter, tmp_path):
    for name in ("photos/one.png", "model/saved_model.pb", "versions/3/x"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("mine")
    (tmp_path / "model.onnx").write_text("mine")
    refused = {
        "a new or empty folder": ("photos", {}),
        "a model already": ("model", {"version": "next"}),
        "exists already": ("versions", {"version": 3}),
        "a new file that ends": ("model.onnx", {"format": "onnx"}),
        "in '.onnx'": ("model.bin", {"format": "onnx"}),
        "does not load ONNX": (
            "new.onnx",
            {"format": "onnx", "version": "next"},
        ),
        "for TensorFlow Serving": (
            "new.onnx",
            {"format": "onnx", "warmup_sizes": [(8, 8)]},
        ),
    }
    for message, (name, arguments) in refused.items():
        with pytest.raises(ValueError, match=message):
            segmenter.export(tmp_path / name, **arguments)
    files = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert len(files) == 4 and {p.read_text() for p in files} == {"mine"}


@tensorflow_only
@pytest.mark.parametrize(
    "package, arguments",
    [
        ("tensorflow", {}),
        ("tf2onnx", {"format": "onnx"}),
        ("tensorflow_serving", {"warmup_sizes": [(32, 48)]}),
    ],
)
def test_what_is_not_installed_is_named(
    segmenter, package, arguments, tmp_path, monkeypatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == package else find(name),
    )
    path = tmp_path / ("model.onnx" if "format" in arguments else "model")
    with pytest.raises(ImportError, match=f"`{package}`.*pip install"):
        segmenter.export(path, **arguments)


@tensorflow_only
def test_what_fails_elsewhere_is_told(tmp_path):
    request = tmp_path / "request.json"
    settings = {"preset": str(tmp_path / "none"), "modules": ["no_such"]}
    request.write_text(json.dumps(settings))
    with pytest.raises(
        RuntimeError, match="It failed. Its error: ValueError: `preset`"
    ):
        elsewhere._run(["gss_keras.export", str(request)], "It failed.")


@tensorflow_only
def test_serving_files_agree_with_what_is_exported():
    folder = pathlib.Path(__file__).parents[2] / "serving"
    compose = (folder / "compose.yaml").read_text()
    assert "--enable_per_model_batching_parameters" in compose


def test_a_posterior_that_stretches_answers_as_predict_does():
    prior = tiny_prior(tiny_posterior(alignment="stretch", inverse="conv"))
    segmenter = gss_keras.GenerativeSegmenter(prior)
    photos = tiny_data()[0][:, :30, :45]
    answers = export.answer(segmenter, ops.convert_to_tensor(photos))
    masks = ops.convert_to_numpy(answers["masks"])
    np.testing.assert_array_equal(masks, segmenter.predict(photos))
    assert answers["confidence"].shape == masks.shape
