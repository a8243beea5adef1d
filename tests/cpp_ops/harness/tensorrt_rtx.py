"""Loads the plugin library in TensorRT-RTX and builds an engine of an ONNX file; prints what it saw as JSON.

Arguments: library, model, the widest batch of input "x". Run in a process of its own, for TensorRT-RTX aborts
the process where it cannot find its own library.
"""

import json
import sys

import tensorrt_rtx_bindings as trt


class Messages(trt.ILogger):
    def __init__(self):
        super().__init__()
        self.errors = []

    def log(self, severity, message):
        if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
            self.errors.append(message)


def main(library, model, batch):
    messages = Messages()
    registry = trt.get_plugin_registry()
    registry.load_library(library)
    creators = [[c.name, c.plugin_version, c.plugin_namespace] for c in registry.all_creators]

    builder = trt.Builder(messages)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, messages)
    seen = {"creators": creators, "parsed": parser.parse_from_file(model), "errors": messages.errors}
    if seen["parsed"]:
        layers = [network.get_layer(i) for i in range(network.num_layers)]
        seen["layers"] = [
            [layer.type.name, list(layer.get_output(0).shape), layer.get_output(0).dtype.name]
            for layer in layers
        ]
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
        profile = builder.create_optimization_profile()
        shape = network.get_input(0).shape[1:]
        profile.set_shape("x", (1, *shape), (1, *shape), (batch, *shape))
        config.add_optimization_profile(profile)
        engine = builder.build_serialized_network(network, config)
        seen["engine"] = None if engine is None else bytes(engine).hex()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
