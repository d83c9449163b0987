"""A strict stand-in for CuPy on a CPU: it shows errors of device code without a device.

An array of this module wraps a NumPy array, and refuses what CuPy refuses: implicit conversion to
NumPy or to a Python number, and being mixed with NumPy arrays. `syncs` counts what CuPy allows but
what waits for the device (`.item()`, `.get()`, `bool()`), and `transfers` counts copies from the
host, so that tests can demand zero inside a training step. `launches` counts everything that
computes, at least one per call, and `copies` the arrays made contiguous for a matrix product.

Python runs the kernels: it reads their source line by line, with the types that C++ gives to every
expression. A stand-in for cuBLAS, which gets addresses and distances like the real one, computes
matrix products.
"""

import ctypes
import sys
from weakref import WeakValueDictionary

import numpy as np

import strict_cpp

bool_, float32, float64, uint8, int64 = np.bool_, np.float32, np.float64, np.uint8, np.int64
inf, nan, newaxis = np.inf, np.nan, None
__version__ = "double"
syncs = transfers = launches = copies = allocated = 0
NOTHING = (
    "reshape", "swapaxes", "moveaxis", "as_strided", "broadcast_to", "ravel", "transpose",
    "squeeze", "empty_like",
)  # fmt: skip
_PLAIN = (bool, int, float, type(None), type(...), slice, str, type, np.dtype)


def _unwrap(value):
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, tuple | list):
        return type(value)(_unwrap(item) for item in value)
    if isinstance(value, _PLAIN):
        return value
    raise TypeError(f"implicit conversion of a {type(value).__name__} to a device array")


def _wrap(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    if isinstance(value, tuple):
        return tuple(_wrap(item) for item in value)
    return value


def _function(function):
    views = getattr(function, "__name__", "") in NOTHING

    def on_device(*args, **kwargs):
        global launches
        launches += not views
        out = kwargs.get("out")
        result = function(*_unwrap(args), **{k: _unwrap(v) for k, v in kwargs.items()})
        return out if isinstance(out, ndarray) else _wrap(result)

    return on_device


_owners = WeakValueDictionary()
"""The first array of this module that was made of an array that owns its memory."""


class Pointer:
    def __init__(self, ptr):
        self.ptr = ptr


class ndarray:
    __array_ufunc__ = None  # NumPy's operators refuse to mix with it

    def __init__(self, host):
        global allocated
        self._host, self.base = host, None
        if host.base is None:
            allocated += host.nbytes
            _owners.setdefault(id(host), self)
        elif isinstance(host.base, np.ndarray):  # always the same object, as in CuPy
            owner = _owners.get(id(host.base))
            self.base = ndarray(host.base) if owner is None else owner

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    strides = property(lambda self: self._host.strides)
    T = property(lambda self: ndarray(self._host.T))
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)

    @property
    def data(self):
        return Pointer(self._host.__array_interface__["data"][0])

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion of a device array to NumPy: use .get()")

    def __float__(self):
        raise TypeError("implicit conversion of a device array to a number: use .item()")

    __int__ = __index__ = __iter__ = __float__

    def __bool__(self):
        global syncs
        syncs += 1
        return bool(self._host)

    def item(self):
        global syncs
        syncs += 1
        return self._host.item()

    def get(self):
        global syncs
        syncs += 1
        return self._host.copy()

    def __len__(self):
        return len(self._host)

    def __getitem__(self, key):
        global launches
        launches += any(
            isinstance(part, ndarray) for part in (key if isinstance(key, tuple) else (key,))
        )
        # NumPy gives a scalar where CuPy gives a 0-d view
        return ndarray(np.asarray(self._host[_unwrap(key)]))

    def __setitem__(self, key, value):
        global launches
        target = self._host[_unwrap(key)]
        # by this CuPy recognises x[key] += y, and does not copy
        launches += not (isinstance(value, ndarray) and _memory(value._host) == _memory(target))
        self._host[_unwrap(key)] = _unwrap(value)

    def __repr__(self):
        return f"strict {self._host!r}"


def _memory(array):
    array = np.asarray(array)
    return array.__array_interface__["data"], array.shape, array.strides


def _in_place(method):
    def on_device(self, other):
        global launches
        launches += 1
        method(self._host, _unwrap(other))
        return self

    return on_device


def _operators():
    binary = "add sub mul truediv pow matmul eq ne lt le gt ge and or".split()
    for name in binary + [f"r{n}" for n in binary[:6]] + ["neg", "abs", "invert"]:
        method = getattr(np.ndarray, f"__{name}__")
        setattr(ndarray, f"__{name}__", _function(method))
    for name in ("iadd", "isub", "imul", "itruediv", "ipow"):
        setattr(ndarray, f"__{name}__", _in_place(getattr(np.ndarray, f"__{name}__")))
    methods = "sum mean max min any all argmax reshape swapaxes astype copy ravel round "
    methods = (methods + "take diagonal").split()
    for name in methods:
        setattr(ndarray, name, _function(getattr(np.ndarray, name)))


_operators()
ndarray.__module__ = __name__


def asarray(value, dtype=None):
    """Copy from the host: the one explicit way in."""
    global transfers
    if isinstance(value, ndarray):
        return value if dtype in (None, value.dtype) else value.astype(dtype)
    transfers += 1
    return ndarray(np.array(value, dtype))


def ascontiguousarray(array):
    """Return the array itself or a copy, as CuPy does."""
    global copies
    copies += not array._host.flags.c_contiguous
    return ndarray(np.ascontiguousarray(array._host))


def may_share_memory(a, b):
    return np.may_share_memory(a._host, b._host)


def matmul(a, b, out=None):
    raise TypeError("CuPy's matmul copies: use pysi.backend.matmul")


def _creator(function):
    def create(*args, **kwargs):
        global launches
        launches += function is not np.empty  # the others fill the arrays that they make
        return _wrap(function(*_unwrap(args), **{k: _unwrap(v) for k, v in kwargs.items()}))

    return create


for _name in ("zeros", "empty", "ones", "arange"):
    setattr(sys.modules[__name__], _name, _creator(getattr(np, _name)))


class lib:
    """Views of an array's memory, as in CuPy."""

    class stride_tricks:
        as_strided = staticmethod(_function(np.lib.stride_tricks.as_strided))


class ElementwiseKernel:
    """Runs the lines that `pysi.backend.kernel` writes, which must be C++, as Python.

    They are declarations ``type name = expression;`` and assignments ``name = expression;``.
    `strict_cpp` evaluates expressions as C++ does. Nothing here depends on a particular formula.
    """

    def __init__(self, in_params, out_params, operation, name, preamble=""):
        self.inputs, self.outputs = (
            [tuple(entry.split()) for entry in params.split(", ") if entry]
            for params in (in_params, out_params)
        )
        self.parameters = self.inputs + self.outputs
        assert len({name for _, name in self.parameters}) == len(self.parameters)
        self.lines = strict_cpp.compiled(operation, preamble)

    def __call__(self, *args):
        global launches
        launches += 1
        arrays = {n: _unwrap(arg) for (_, n), arg in zip(self.parameters, args, strict=True)}
        for dtype, name in self.parameters:
            if isinstance(arrays[name], np.ndarray) and arrays[name].dtype != dtype:
                raise TypeError(f"{name}: expected {dtype}, found {arrays[name].dtype}")
        shape, outputs = np.broadcast_shapes(*map(np.shape, arrays.values())), set()
        for _, name in self.outputs:
            outputs.add(name)
            if arrays[name].shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, found {arrays[name].shape}")
        strict_cpp.run(self.lines, self.parameters, arrays, outputs)


def _at(address, char, strides, shape):
    """Return an array of the numbers at an address; strides are in entries."""
    size = np.dtype(char).itemsize
    reach = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    flat = np.ctypeslib.as_array((ctypes.c_char * (reach * size)).from_address(address)).view(char)
    return np.lib.stride_tricks.as_strided(flat, shape, [s * size for s in strides])


def _gemm(char):
    """Return functions for C = op(A) op(B) of matrices that lie in memory column by column."""

    def stacked(handle, ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, count):
        global launches
        launches += 1
        assert handle == "cublas"
        assert lda >= max(1, k if ta else m)
        assert ldb >= max(1, n if tb else k)
        assert ldc >= max(1, m)
        alpha, beta = (_at(address, char, (1,), (1,))[0] for address in (alpha, beta))
        A = _at(a, char, (sa, lda, 1) if ta else (sa, 1, lda), (count, m, k))
        B = _at(b, char, (sb, ldb, 1) if tb else (sb, 1, ldb), (count, k, n))
        C = _at(c, char, (sc, 1, ldc), (count, m, n))
        assert (alpha, beta) == (1, 0)
        # in rows, as the caller had them: so NumPy's own product gives the same bits
        C.swapaxes(1, 2)[...] = np.matmul(B.swapaxes(1, 2), A.swapaxes(1, 2))

    def plain(handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        stacked(handle, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1)

    return plain, stacked


class cuda:
    """The part of CuPy that `pysi.backend.matmul` needs."""

    class cublas:
        sgemm, sgemmStridedBatched = map(staticmethod, _gemm("f"))
        dgemm, dgemmStridedBatched = map(staticmethod, _gemm("d"))
        mode = 0

        @classmethod
        def getMathMode(cls, handle):
            return cls.mode

        @classmethod
        def setMathMode(cls, handle, mode):
            cls.mode = mode

    class runtime:
        CUDARuntimeError = RuntimeError
        getDeviceCount = staticmethod(lambda: 1)
        getDeviceProperties = staticmethod(lambda device: {"name": b"strict double"})
        runtimeGetVersion = staticmethod(lambda: 0)
        memGetInfo = staticmethod(lambda: (1 << 30, 1 << 31))

    class Device:
        id = 0

    class device:
        @staticmethod
        def get_cublas_handle():
            return "cublas"


class get_default_memory_pool:
    """A memory pool like CuPy's, in which every array is kept for ever."""

    def free_all_blocks(self):
        pass

    def total_bytes(self):
        return allocated


class random:
    """Draws random numbers on the device."""

    class Generator:
        def __init__(self, seed):
            self._host = np.random.default_rng(seed)

        def random(self, size=None, dtype=np.float64):
            return _wrap(self._host.random(size, dtype=dtype))

    default_rng = Generator


def __getattr__(name):
    return _function(getattr(np, name))
