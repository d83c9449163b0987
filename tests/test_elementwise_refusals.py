"""If a formula cannot be recorded, an error names it, and nothing is computed."""

import numpy as np
import pytest

import pysi
import strict_array
from pysi.backend import elementwise, to_host

ONE = np.ones(3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("return x if x > 0 else y", "no condition.*use where"),
        ("while x > 0: x = x - 1", "no condition"),
        ("return x * bool(y)", "no condition"),
        ("return x * float(y)", "no condition"),
        ("return x * int(y)", "no condition"),
        ("return x * complex(y)", "no condition"),
        ("return x * 'ab'[y]", "no condition"),
        ("return x * range(y)", "no condition"),
        ("return x * len(y)", "no condition"),
        ("return x * sum(y)", "no condition"),
        ("return x * max(x, y)", "no condition"),
        ("return x * (1 in y)", "no condition"),
        ("a, b, c = x; return a", "no condition"),
        ("return 0 < x < 1", "no condition"),
        ("return x and y", "no condition"),
        ("return x * np.sum(y)", "one of .*'add'.*'where'.*found sum"),
        ("return x * np.mean(y, axis=0)", "found mean"),
        ("return np.where(x)", "found where of 1"),
        ("return np.clip(x, a_min=0, a_max=1)", "found clip"),
        ("return np.cumsum(x)", "found cumsum"),
        ("return np.add.reduce(x)", "found add.reduce"),
        ("return np.add(x, y, where=x > 0)", "found add.__call__ with .*where"),
        ("return np.add(x, y, out=np.ones(3))", "its own symbols"),
        ("return x @ y", "found 'matmul'"),
        ("return x // y", "found 'floor_divide'"),
        ("return np.sin(x)", "found 'sin'"),
        ("return x.sum()", "the attribute 'sum'"),
        ("return x * x.max()", "the attribute 'max'"),
        ("return x.T", "the attribute 'T'"),
        ("return x.shape[0] * x", "the attribute 'shape'"),
        ("return x.astype(float)", "the attribute 'astype'"),
        ("return x[0]", "whole arrays, .* found the index 0"),
        ("return x[1:]", "whole arrays, .* found the index slice"),
        ("return x[None]", "whole arrays, .* found the index None"),
        ("return x[x > 0]", "whole arrays"),
        ("x += 1; return x", "an argument that is written to"),
        ("x[...] = y; return x", "an argument that is written to"),
        ("x[0] = 1; return x", "whole arrays"),
        ("np.add(x, y, out=x); return x", "an argument that is written to"),
        ("return x + np.ones(3)", "its arguments and numbers"),
        ("return x + 'one'", "arrays and numbers, found str"),
        ("return x + 1j", "arrays and numbers, found complex"),
        ("return [x, y]", "arrays and numbers, found list"),
        ("pass", "arrays and numbers, found NoneType"),
        ("return -(x > 0)", "other types in negative, found bool"),
        ("return (x > 0) - (y > 0)", "other types in subtract"),
        ("return x & y", "conditions in bitwise_and, found float64"),
        ("return ~x", "conditions in invert"),
        ("return np.sqrt(x > 0)", "results of type float64, found float16"),
    ],
)
def test_what_cannot_be_recorded_is_a_config_error(line, message):
    names = {"np": np}
    exec(f"def wrong(x, y):\n    {line}", names)
    for wrap in (np.asarray, strict_array.ndarray):
        before, arrays = strict_array.launches, [wrap(ONE.copy()), wrap(ONE.copy())]
        for _ in range(2):
            with pytest.raises(pysi.ConfigError, match=f"formula 'wrong': expected .*{message}"):
                elementwise(names["wrong"])(*arrays)
        assert strict_array.launches == before
        assert all((to_host(array) == 1).all() for array in arrays)


@elementwise
def added(x, y):
    return x + y


@elementwise
def both(x, y):
    return x + y, x * y


@pytest.mark.parametrize("wrap", [np.asarray, strict_array.ndarray])
@pytest.mark.parametrize(
    ("formula", "arrays", "out", "message"),
    [
        (added, [ONE, ONE.astype("f")], None, r"one floating type, found \['float32', 'float64'\]"),
        (added, [ONE, np.ones(4)], None, r"that broadcast, found shapes \[\(3,\), \(4,\)\] in add"),
        (added, [ONE.astype("f"), np.ones(3, int)], None, "type float32, found float64 from add"),
        (added, [ONE], None, "2 arguments, found 1"),
        (added, [ONE, ONE], np.ones(4), r"out float64\(3,\), found float64\(4,\)"),
        (added, [ONE, ONE], np.ones((2, 3)), r"out float64\(3,\), found float64\(2, 3\)"),
        (added, [ONE, ONE], np.ones(3, "f"), "out float64.*found float32"),
        (added, [ONE, ONE], (np.ones(3), np.ones(3)), "out for 1 results, found 2"),
        (both, [ONE, ONE], np.ones(3), "out for 2 results, found 1"),
        (added, [ONE, [1, 2, 3]], None, "arrays and numbers, found list"),
        (added, [ONE, None], None, "arrays and numbers, found NoneType"),
    ],
)
def test_arrays_that_do_not_fit_are_config_errors(wrap, formula, arrays, out, message):
    outs = out if type(out) is tuple else (out,)
    outs = tuple(None if array is None else wrap(array.copy()) for array in outs)
    given = [wrap(array) if isinstance(array, np.ndarray) else array for array in arrays]
    name = formula.__name__
    with pytest.raises(pysi.ConfigError, match=f"formula '{name}': expected .*{message}"):
        formula(*given, out=outs if type(out) is tuple else outs[0])
    assert all(array is None or (to_host(array) == 1).all() for array in outs)


def test_a_device_knows_few_types():
    for dtype in (np.float16, np.uint8, np.int32):
        with pytest.raises(pysi.ConfigError, match="float32, float64, bool, int64, found"):
            added(strict_array.ndarray(ONE.astype(dtype)), 1)
