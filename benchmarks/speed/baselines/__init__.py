"""Others that do our job, timed beside us in the same run. A module a peer, with

- `PRECISIONS`: those it computes in;
- `THREADED`: whether the number of CPU threads matters;
- `unavailable(job)`: why it cannot do the job here, and the fix; None where it can;
- `open_runner(job, precision, threads)`.
"""

PEERS = {
    "onnxruntime-plain": "plain_onnxruntime",
    "openvino": "openvino",
    "pytorch": "pytorch",
    "pytorch-cuda": "pytorch_cuda",
}
"""Peer → its module here."""
