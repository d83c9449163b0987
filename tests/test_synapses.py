import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.backend.compiled import compiled
from pysi.storage.tables import SAVED
from pysi.synapses import ROWS
from strategies import leads, seeds, shape_tables, tables


@given(shape_tables(), leads)
def test_groups_partition_the_columns(shapes, lead):
    s = pysi.Synapses(shapes, lead=lead)
    hits = np.zeros(s.theta.shape, int)
    for name in shapes:
        group = s.group(name)
        assert group.theta.shape == (*lead, *shapes[name])
        group.theta[...] += 1
        hits[..., group.columns] += 1
    assert (hits == 1).all()
    assert (s.theta == 1).all()


@given(tables())
def test_an_update_writes_every_column_once(s):
    before, two = s.theta.copy(), np.full(s.theta.shape, 2.0)
    with s.update() as rows:
        rows.omega[...] = rows.theta
        rows.advance(rows.part(two))
        rows.Omega[...] = rows.Omega + rows.theta
        assert np.array_equal(s.theta, before)  # nothing is computed yet
    assert np.array_equal(s.omega, before)
    assert np.array_equal(s.theta, before + 2)


@given(tables(), st.data())
def test_the_columns_are_cut_into_ranges_of_nearly_one_size(s, data):
    largest = data.draw(st.integers(1, 300))
    ranges = pysi.Synapses(s.shapes, lead=s.lead, block_size=largest)._update.recorder.ranges.ranges
    widths = [part.stop - part.start for part in ranges]
    assert sum(widths) == len(s)
    assert max(widths) <= largest
    assert len(set(widths[:-1])) <= 1
    assert [part.start for part in ranges] == np.cumsum([0, *widths[:-1]]).tolist()


def test_an_update_that_fails_changes_nothing():
    s = pysi.Synapses({"a": (2, 3)})
    s.table[...] = np.random.default_rng(0).standard_normal(s.table.shape)
    before = s.table.copy()
    with pytest.raises(ZeroDivisionError), s.update() as rows:
        rows.theta[...] = rows.theta + rows.omega
        rows.Omega[...] = 1 / 0
    assert np.array_equal(s.table, before)


def test_what_is_not_elementwise_is_refused_in_an_update():
    s = pysi.Synapses({"a": (2, 3)})
    for formula in (
        lambda rows: rows.theta.sum(),
        lambda rows: rows.theta[0],
        lambda rows: np.sort(rows.theta),
        lambda rows: bool(rows.theta > 0),
    ):
        with pytest.raises(pysi.ConfigError, match="formula 'update'"), s.update() as rows:
            formula(rows)


@given(tables(), st.data())
def test_every_handle_is_a_view_of_the_same_synapse(s, data):
    k = data.draw(st.integers(0, len(s) - 1))
    synapse = s[k]
    group = s.group(synapse.group)
    local = np.unravel_index(k - group.columns.start, group.shape)
    for number, row in enumerate(ROWS):
        getattr(synapse, row)[...] = number + 1
        assert (getattr(s, row)[..., k] == number + 1).all()
        assert (getattr(group, row)[(..., *local)] == number + 1).all()


@pytest.mark.smoke
def test_rows_cannot_be_rebound():
    s = pysi.Synapses({"a": (2, 3)})
    with s.update() as rows:
        for handle in (s, s.group("a"), s[0], rows):
            for row in ROWS:
                with pytest.raises(AttributeError):
                    setattr(handle, row, np.zeros(6))


@given(tables(leads=st.sampled_from([(), (2,)])))
def test_save_and_load_give_the_same_table(s):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.npz"
        s.save(path)
        again = pysi.Synapses.load(path)
        assert [p.name for p in Path(folder).iterdir()] == ["table.npz"]
    assert again.shapes == s.shapes
    assert again.dtype == s.dtype
    for row in SAVED:
        assert np.array_equal(getattr(again, row), getattr(s, row))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "table.npz"
    pysi.Synapses({"a": (40, 30)}).save(path)
    return path


def spoil(path, how):
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "text":
        path.write_text("not a table")
    elif how == "pickle":
        np.savez(path, theta=np.array([{}], dtype=object))
    elif how == "other arrays":
        np.savez(path, weights=np.zeros(3))
    elif how == "directory":
        path.unlink()
        path.mkdir()
    elif how == "wrong length":
        np.savez(path, shapes=np.array('{"a": [3]}'), **{row: np.zeros(4) for row in SAVED})


@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "empty",
        "truncated",
        "text",
        "pickle",
        "other arrays",
        "directory",
        "wrong length",
    ],
)
def test_a_bad_file_is_a_data_error_that_names_it(saved, how):
    spoil(saved, how)
    with pytest.raises(pysi.DataError, match="table.npz"):
        pysi.Synapses.load(saved)


def test_a_failed_save_keeps_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr(np, "savez", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pysi.Synapses({"a": (2,)}).save(saved)
    assert saved.read_bytes() == before


@pytest.mark.parametrize(
    ("shapes", "dtype"), [({}, np.float32), ({"a": (0,)}, np.float32), ({"a": (2,)}, np.int64)]
)
def test_impossible_tables_are_config_errors(shapes, dtype):
    with pytest.raises(pysi.ConfigError):
        pysi.Synapses(shapes, dtype=dtype)


@pytest.mark.parametrize("size", [-3, 0, 1.5, -0.5])
def test_impossible_block_sizes_are_config_errors(size):
    with pytest.raises(pysi.ConfigError, match=f"block_size: .* from 1, found {size}"):
        pysi.Synapses({"a": (2,)}, block_size=size)


def test_unknown_groups_and_synapses_are_refused():
    s = pysi.Synapses({"a": (2,)})
    with pytest.raises(pysi.ConfigError, match="'b'"):
        s.group("b")
    for index in (-1, 2):
        with pytest.raises(IndexError, match="0 to 1"):
            s[index]


@given(seeds)
def test_repr_names_the_paper_s_quantities(seed):
    s = pysi.Synapses({"dense1.W": (2, 2)})
    s.theta[...] = np.random.default_rng(seed).standard_normal(4)
    assert all(f"{row}=" in repr(s[3]) for row in ROWS)
    assert "dense1.W" in repr(s.group("dense1.W"))


# train_only


@given(tables(), st.data())
def test_only_some_columns_are_updated(s, data):
    """Those have the bits of a whole update; the others keep theirs, and so does their state."""
    start = data.draw(st.integers(0, len(s) - 1))
    stop = data.draw(st.integers(start + 1, len(s)))
    whole, state = s.copy(), np.arange(s.theta.size, dtype=s.dtype).reshape(s.theta.shape)
    strength = np.full((*s.lead, 1), 3.0)
    states = []
    s.train_only(slice(start, stop))
    for table in (s, whole):
        before = table.table.copy()
        states.append(state.copy())
        for _ in range(3):
            with table.update() as rows:
                u = rows.part(states[-1])
                u[...] = u * 0.5 + rows.grad
                delta = rows.part(strength) * u
                rows.advance(delta)
                rows.omega[...] = rows.omega - rows.grad * delta
    part = np.s_[..., start:stop]
    outside = np.delete(np.arange(len(s)), np.arange(start, stop))
    assert np.array_equal(s.table[part], whole.table[part])
    assert np.array_equal(states[0][part], states[1][part])
    assert np.array_equal(s.table[..., outside], before[..., outside])
    assert np.array_equal(states[0][..., outside], state[..., outside])
    assert np.array_equal(s.grad, before[1])
    s.train_only()
    with s.update() as rows:
        rows.advance(rows.grad)
    assert (s.theta != before[0])[..., outside].any() or not outside.size


@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_only_some_columns_are_updated_by_loops_too(lead, on):
    """Ranges that do not divide the columns, as passes and as one compiled loop."""
    if on:
        pytest.importorskip("numba")
    tables = []
    for columns in (slice(7, 61), None):
        s = pysi.Synapses({"a": (10, 10)}, lead=lead, block_size=9)
        s.table[...] = np.random.default_rng(0).standard_normal(s.table.shape)
        before = s.table.copy()
        s.train_only(columns)
        with compiled(on):
            for _ in range(2):
                with s.update() as rows:
                    rows.omega[...] = rows.omega - rows.grad * rows.theta
                    rows.advance(rows.grad * -0.1)
        tables.append(s.table)
    assert np.array_equal(tables[0][..., 7:61], tables[1][..., 7:61])
    for rest in (np.s_[..., :7], np.s_[..., 61:]):
        assert np.array_equal(tables[0][rest], before[rest])


def test_a_copy_trains_the_same_columns():
    s = pysi.Synapses({"a": (3, 4)})
    s.train_only(slice(2, 5))
    other = s.copy()
    s.train_only()
    with other.update() as rows:
        rows.advance(rows.theta + 1)
    assert other.theta.tolist() == [0, 0, 1, 1, 1, *[0] * 7]
    assert not s.theta.any()


@pytest.mark.parametrize(
    "columns", [slice(3, 3), slice(0, 13), slice(-2, 5), slice(None, 4), slice(0, 6, 2), 3, (0, 3)]
)
def test_columns_that_are_no_slice_of_the_table_are_refused(columns):
    s = pysi.Synapses({"a": (3, 4)})
    with pytest.raises(pysi.ConfigError, match="columns: expected a slice .* within 0 to 12"):
        s.train_only(columns)
