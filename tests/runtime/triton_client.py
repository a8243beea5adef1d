"""Asks a Triton server by HTTP and gRPC; a program of its own, for tritonclient lies apart.

python triton_client.py HTTP_PORT GRPC_PORT REQUESTS.npz ANSWERS.npz

Arrays of REQUESTS are named `NUMBER/MODEL/INPUT`; those of ANSWERS `PROTOCOL/NUMBER/OUTPUT`, or
`PROTOCOL/NUMBER/error` with the error as text. Requests of one protocol are sent at the same time.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype


def ask(library, port, model, inputs):
    """One request, by a client of its own: that of HTTP may not be shared by threads."""
    tensors = []
    for name, value in inputs.items():
        tensor = library.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
        tensor.set_data_from_numpy(value)
        tensors.append(tensor)
    try:
        with library.InferenceServerClient(f"127.0.0.1:{port}") as client:
            answer = client.infer(model, tensors)
    except InferenceServerException as error:
        return {"error": np.array(error.message())}
    found = {name: answer.as_numpy(name) for name in ("IMAGE", "TEMPLATE")}
    return {name: value for name, value in found.items() if value is not None}


def main() -> None:
    http, grpc, requests, answers = sys.argv[1:]
    asked = {}
    for key, value in np.load(requests).items():
        number, model, name = key.split("/")
        asked.setdefault((number, model), {})[name] = value
    found = {}
    for protocol, library, port in (("http", tritonclient.http, http), ("grpc", tritonclient.grpc, grpc)):
        with ThreadPoolExecutor(len(asked)) as pool:
            waiting = {
                f"{protocol}/{number}": pool.submit(ask, library, port, model, inputs)
                for (number, model), inputs in asked.items()
            }
            for key, each in waiting.items():
                found |= {f"{key}/{name}": value for name, value in each.result().items()}
    np.savez(answers, **found)


if __name__ == "__main__":
    main()
