"""A small gRPC server of a SavedModel with TensorFlow Serving's protocol.

It loads the latest version of a model, replays its warm-up requests and
implements `Predict` like `tensorflow_model_server`. Like that, it rejects
malformed tensors, and inputs that do not match the signature, without calling
the model:

    python tests/prediction_server.py models/segmenter --port 8500
"""

import concurrent.futures
import pathlib
import sys

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

UNLIMITED = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, base):
        versions = [p for p in pathlib.Path(base).iterdir() if p.name.isdigit()]
        self.folder = max(versions, key=lambda path: int(path.name))
        self.model = tf.saved_model.load(str(self.folder))
        self.warmed_up = 0
        path = self.folder / "assets.extra" / "tf_serving_warmup_requests"
        if path.exists():
            for record in tf.data.TFRecordDataset(str(path)):
                log = prediction_log_pb2.PredictionLog()
                log.ParseFromString(record.numpy())
                self.answer(log.predict_log.request)
                self.warmed_up += 1

    def answer(self, request):
        name = request.model_spec.signature_name or "serving_default"
        signature = self.model.signatures[name]
        tensors = read_inputs(request, signature.structured_input_signature[1])
        response = predict_pb2.PredictResponse()
        for key, value in signature(**tensors).items():
            if not request.output_filter or key in request.output_filter:
                response.outputs[key].CopyFrom(
                    tf.make_tensor_proto(value.numpy())
                )
        return response

    def Predict(self, request, context):  # noqa: N802
        try:
            return self.answer(request)
        except BadRequestError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)


class BadRequestError(Exception):
    """The client sent an invalid request."""


def read_inputs(request, specs):
    """Read a request's tensors by name and check them against the signature."""
    if set(request.inputs) != set(specs):
        raise BadRequestError(
            f"The signature takes {sorted(specs)}. "
            f"Received: {sorted(request.inputs)}"
        )
    tensors = {}
    for name, spec in specs.items():
        proto = request.inputs[name]
        try:
            tensors[name] = tf.constant(tf.make_ndarray(proto))
        except (TypeError, ValueError) as error:
            raise BadRequestError(
                f"`{name}` is not a valid tensor: {error}"
            ) from None
        if tensors[name].dtype != spec.dtype:
            raise BadRequestError(
                f"`{name}` must be {spec.dtype.name}. "
                f"Received: {tensors[name].dtype.name}"
            )
    return tensors


def serve(base, port=0, threads=8):
    """Start a server; return the server, its port and its service."""
    service = Service(base)
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(threads), options=UNLIMITED
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        service, server
    )
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port, service


def client(port):
    """Return a client function that maps photos to the output arrays.

    It takes an array or, to simulate a faulty client, a tensor proto and any
    input name.
    """
    stub = prediction_service_pb2_grpc.PredictionServiceStub(
        grpc.insecure_channel(f"127.0.0.1:{port}", options=UNLIMITED)
    )

    def predict(photos, timeout=120, name="photos"):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "segmenter"
        if isinstance(photos, np.ndarray):
            photos = tf.make_tensor_proto(photos)
        request.inputs[name].CopyFrom(photos)
        response = stub.Predict(request, timeout)
        return {
            name: tf.make_ndarray(tensor)
            for name, tensor in response.outputs.items()
        }

    return predict


if __name__ == "__main__":
    running, port, _ = serve(sys.argv[1], int((sys.argv[3:] or [8500])[0]))
    sys.stderr.write(f"serving {sys.argv[1]} on port {port}\n")
    running.wait_for_termination()
