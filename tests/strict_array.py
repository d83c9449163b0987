"""A strict stand-in for CuPy on a CPU: device errors show without a device.

An array of this module wraps a NumPy array, and refuses what CuPy refuses: implicit conversion to
NumPy or to a Python number, and being mixed with NumPy arrays. What CuPy allows but what waits for
the device (`.item()`, `.get()`, `bool()`) is counted in `syncs`, and copies from the host in
`transfers`, so that tests can hold them at zero inside a training step.
"""

import sys

import numpy as np

bool_, float32, float64, uint8, int64 = np.bool_, np.float32, np.float64, np.uint8, np.int64
inf, nan, newaxis = np.inf, np.nan, None
syncs = transfers = 0
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
    def on_device(*args, **kwargs):
        out = kwargs.get("out")
        result = function(*_unwrap(args), **{k: _unwrap(v) for k, v in kwargs.items()})
        return out if isinstance(out, ndarray) else _wrap(result)

    return on_device


class ndarray:
    __array_ufunc__ = None  # NumPy's operators refuse to mix with it

    def __init__(self, host):
        self._host = host

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    strides = property(lambda self: self._host.strides)

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
        # NumPy gives a scalar where CuPy gives a 0-d view
        key = _unwrap(key)
        return ndarray(np.asarray(self._host[key]))

    def __setitem__(self, key, value):
        self._host[_unwrap(key)] = _unwrap(value)

    def __repr__(self):
        return f"strict {self._host!r}"


def _in_place(method):
    def on_device(self, other):
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
    methods = "sum mean max min any all argmax reshape swapaxes astype copy ravel round".split()
    for name in methods:
        setattr(ndarray, name, _function(getattr(np.ndarray, name)))


_operators()
ndarray.__module__ = __name__


def asarray(value, dtype=None):
    """From the host: the one explicit way in."""
    global transfers
    if isinstance(value, ndarray):
        return value if dtype in (None, value.dtype) else value.astype(dtype)
    transfers += 1
    return ndarray(np.array(value, dtype))


def _creator(function):
    return lambda *args, **kwargs: _wrap(
        function(*_unwrap(args), **{k: _unwrap(v) for k, v in kwargs.items()})
    )


for _name in ("zeros", "empty", "ones", "arange"):
    setattr(sys.modules[__name__], _name, _creator(getattr(np, _name)))


class lib:
    """Views of an array's memory, as CuPy makes them too."""

    class stride_tricks:
        as_strided = staticmethod(_function(np.lib.stride_tricks.as_strided))


class random:
    """Random numbers that are drawn on the device."""

    class Generator:
        def __init__(self, seed):
            self._host = np.random.default_rng(seed)

        def random(self, size=None, dtype=np.float64):
            return _wrap(self._host.random(size, dtype=dtype))

    default_rng = Generator


def __getattr__(name):
    return _function(getattr(np, name))
