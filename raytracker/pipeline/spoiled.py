"""Errors after which a process can compute nothing more on its GPU, whatever the tile."""

from __future__ import annotations

import re

# Those of which CUDA says: "This leaves the process in an inconsistent state and any further CUDA
# work will return the same error. To continue using CUDA, the process must be terminated and
# relaunched." As CUDA's runtime words them, or its runtime or driver names them; torch, JAX, CuPy,
# TensorFlow and onnxruntime pass one of these on.
# Source: CUDA Runtime API, "Data types used by CUDA Runtime", cudaError; 13.0.
_STICKY = re.compile(
    r"illegal memory access was encountered"
    r"|the launch timed out and was terminated"
    r"|unspecified launch failure"
    r"|device-side assert triggered"
    r"|hardware stack error"
    r"|an illegal instruction was encountered"
    r"|misaligned address"
    r"|operation not supported on global/shared address space"
    r"|invalid program counter"
    r"|uncorrectable (?:NVLink|ECC) error"
    r"|cudaError(?:IllegalAddress|LaunchTimeout|LaunchFailure|Assert|HardwareStackError"
    r"|IllegalInstruction|MisalignedAddress|InvalidAddressSpace|InvalidPc|ECCUncorrectable)"
    r"|CUDA_ERROR_(?:ILLEGAL_ADDRESS|LAUNCH_TIMEOUT|LAUNCH_FAILED|ASSERT|HARDWARE_STACK_ERROR"
    r"|ILLEGAL_INSTRUCTION|MISALIGNED_ADDRESS|INVALID_ADDRESS_SPACE|INVALID_PC|ECC_UNCORRECTABLE)"
)
_CUDA = re.compile(r"cuda|cudnn|cublas|gpu", re.IGNORECASE)


def is_spoiled(error: BaseException | None) -> bool:
    """Returns whether an exception, or what caused it, tells that its process is of no more use.

    Every later call on the GPU raises the same then: other tiles would be blamed for it.
    """
    while error is not None:
        text = f"{type(error).__name__}: {error}"
        if _STICKY.search(text) and _CUDA.search(text):
            return True
        error = error.__cause__ or error.__context__
    return False
