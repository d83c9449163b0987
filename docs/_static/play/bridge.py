"""Between a page and Python: what a function returns becomes plain JavaScript, and so do errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
from js import Object
from pyodide.ffi import to_js

from pysi.errors import PysiError


def plain(value: Any) -> Any:
    """Return a value in which arrays are {shape, data}, as `to_js` understands it."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "bi":  # JavaScript has no plain numbers of 64 bits
            value = value.astype(np.int32)
        return {"shape": list(value.shape), "data": np.ascontiguousarray(value).ravel()}
    return value.item() if isinstance(value, np.generic) else value


def javascript(value: Any) -> Any:
    """Return a value as an object of JavaScript."""
    return to_js(plain(value), dict_converter=Object.fromEntries)


def call(function: Callable[..., Any], settings: dict[str, Any], send: Callable[..., Any]) -> Any:
    """Call ``function(progress, **settings)``; return {result} or {error}, a sentence."""
    try:
        result = function(lambda part: send(javascript(part)), **settings)
    except PysiError as err:
        return javascript({"error": str(err)})
    except Exception as err:
        return javascript({"error": f"Python has found an error ({type(err).__name__}): {err}"})
    return javascript({"result": result})
