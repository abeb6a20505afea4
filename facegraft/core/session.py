"""How ONNX Runtime is asked to use the processor."""

from __future__ import annotations

from typing import Any


def session_options(threads: int) -> Any:
    """`onnxruntime.SessionOptions` for one of several networks that run in turn.

    ONNX Runtime gives each network threads of its own, and lets them spin for a while after each run, in case more work
    comes. The next network's threads then have to share the cores with them: three networks on two threads took 60 ms
    that way, and take 20 without.

    Args:
        threads: Of one operator; 0: ONNX Runtime chooses.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
