"""`pysi sweep --dask`: a real cluster, whose workers are processes of their own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from pysi import ConfigError, DataError, DivergenceError, PysiError
from pysi.cli import main
from pysi.data.dataset import Dataset
from pysi.experiments import parallel
from pysi.experiments.cell import Cell
from pysi.experiments.overview import Overview
from pysi.experiments.protocols import SplitMNIST
from pysi.experiments.result import key
from pysi.experiments.sweep import Sweep, validate

pytestmark = pytest.mark.slow


def sweep(words, out):
    """What `pysi sweep split-mnist` wrote, once it has ended well."""
    assert main(["sweep", "split-mnist", *words.split(), "--out", str(out)]) == 0
    return Sweep.load(out)


def numbers(result):
    """What must be the same wherever a sweep is run."""
    return [{k: v for k, v in run.items() if k != "duration_s"} for run in result.runs]


def test_a_cluster_s_worker_keeps_its_limit_of_threads_and_writes_nothing(
    mnist_5k, tmp_path, monkeypatch
):
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    cell = Cell(SplitMNIST(epochs=1, hidden=(8,)), "si", 1.0, 0)
    with threadpool_limits(2, user_api="blas"):
        (run,) = validate(cell, mnist_5k, tmp_path / "out", 1, parallel.silent)
        assert threads() == {2}  # this process may be the user's own
        assert list(tmp_path.iterdir()) == [tmp_path / "out"]
        (again,) = validate(cell, mnist_5k, None, 1, parallel.silent)
        assert threads() == {1}
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
    assert [pool["num_threads"] for pool in again["blas"]] == [1] * len(again["blas"])
    assert run["validation_accuracy"] == again["validation_accuracy"]


class Cluster:
    """A Dask scheduler and workers, each in a process of its own, with a folder of their own."""

    def __init__(self, folder):
        self.folder, self.workers, self.env, self.begun = folder, {}, {}, 0
        about = folder / "scheduler.json"
        self.scheduler = self.begin("dask_scheduler", "--port", "0", "--scheduler-file", about)
        deadline = time.monotonic() + 60
        while not (about.exists() and about.read_text().endswith("}")):
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.05)
        self.address = json.loads(about.read_text())["address"]

    def begin(self, program, *options, **env):
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--host", "127.0.0.1"]
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                [*command, "--no-dashboard", *map(str, options)],
                cwd=self.folder,
                stderr=log,
                # Twice as many threads as a run gets: they must be limited on the worker.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "2"} | env,
            )

    def require(self, n, **env):
        """Have n workers of one thread each, all of them with these environment variables."""
        import distributed

        def names(dask_scheduler):
            return {worker.name for worker in dask_scheduler.workers.values()}

        if env != self.env:  # what one test breaks, the next one must not meet
            self.kill_workers()
            self.env = env
        self.workers = {k: worker for k, worker in self.workers.items() if worker.poll() is None}
        while len(self.workers) < n:
            self.begun += 1
            name = f"worker {self.begun}"
            options = ["--name", name, "--nthreads", "1", "--no-nanny", "--local-directory"]
            self.workers[name] = self.begin(
                "dask_worker", self.address, *options, self.folder, **env
            )
        deadline = time.monotonic() + 60
        with distributed.Client(self.address, set_as_default=False) as client:
            while client.run_on_scheduler(names) != self.workers.keys():
                assert time.monotonic() < deadline, "the workers did not come"
                time.sleep(0.05)

    def kill_workers(self):
        for worker in self.workers.values():
            worker.kill()
            worker.wait()

    def end(self):
        self.kill_workers()
        self.scheduler.kill()
        self.scheduler.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    pytest.importorskip("distributed", reason='distributed is not installed: pip install ".[test]"')
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    yield found
    found.end()


def run_all(cluster, work, cells, dataset=None):
    """Everything that a cluster yields for some cells."""
    with parallel.on_cluster(cluster.address) as run_cells:
        return list(run_cells(work, cells, dataset, "folder", 1))


def test_a_cluster_without_workers_is_named(cluster, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(parallel, "PATIENCE", {"scheduler": 10, "worker": 0.2})
    out = tmp_path / "sweep"
    words = ["sweep", "split-mnist", "--dask", cluster.address, "--out", str(out)]
    assert main(words) == 2
    assert f"dask worker {cluster.address}" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("address", ["nonsense", "", "http://127.0.0.1:1", "tcp://127.0.0.1:1"])
def test_an_address_without_a_scheduler_is_named(address, tmp_path, capsys, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "PATIENCE", {"scheduler": 0.2, "worker": 0.2})
    out = tmp_path / "sweep"
    assert main(["sweep", "split-mnist", "--dask", address, "--out", str(out)]) == 2
    assert f"found {address!r}" in capsys.readouterr().err
    assert not out.exists()


def test_an_address_that_is_none_ends_at_once():
    pytest.importorskip("distributed")
    words = "-m pysi sweep split-mnist --dask nonsense".split()
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=15)
    assert ended.returncode == 2
    assert ended.stderr.startswith("pysi: dask: expected the address")
    assert len(ended.stderr.splitlines()) == 1


def test_a_killed_worker_costs_no_run_and_a_cluster_gives_the_bits_of_one_machine(
    cluster, mnist_5k, tmp_path, capsys, monkeypatch
):
    import distributed
    import joblib

    words = "--dataset mnist-5k --epochs 2 --hidden 32 --c 0 1 --xi 1e-4 1e-3 --seeds 4"
    monkeypatch.setattr("pysi.experiments.protocol.load_dataset", lambda *args: mnist_5k)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 32)  # of the machine that asks
    cluster.require(2)
    killed, save = [], Sweep.save

    def kill_a_busy_worker(found, folder):
        if len(found.runs) == 2 and not killed:
            with distributed.Client(cluster.address, set_as_default=False) as client:
                pids = client.run(os.getpid)
                address = next(a for a, tasks in client.processing().items() if tasks)
            (worker,) = (w for w in cluster.workers.values() if w.pid == pids[address])
            worker.kill()
            killed.append(worker)
        return save(found, folder)

    monkeypatch.setattr(Sweep, "save", kill_a_busy_worker)
    out = tmp_path / "cluster"
    found = sweep(f"{words} --dask {cluster.address}", out)
    assert killed[0].wait() == -9
    shown = capsys.readouterr().err
    assert " 12/12 [" in shown  # the progress bar
    assert " 4/4 [" not in shown  # of networks that learn task 1 for others, which had no folder
    assert found.content["complete"]
    keys = [key(run) for run in found.runs]
    assert len(set(keys)) == len(keys) == 12
    assert found.content["environment"]["blas_threads"] == 1
    assert {pool["num_threads"] for run in found.runs for pool in run["blas"]} == {1}
    assert sorted(path.suffix for path in out.iterdir()) == [".json", ".pdf", ".png", ".svg"]

    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)  # of which each of two processes has one
    assert numbers(found) == numbers(sweep(f"{words} --jobs 2", tmp_path / "local"))


def test_runs_are_on_the_workers_and_the_dataset_is_sent_once(cluster, mnist_5k, monkeypatch):
    sent = []
    state = object.__getstate__
    monkeypatch.setattr(Dataset, "__getstate__", lambda self: sent.append(1) or state(self))

    def work(cell, dataset, out, threads, report):
        report(("name", 1, 1))
        return cell, os.getpid(), (len(dataset.y_train), out, threads)

    cluster.require(1)  # joblib by itself would run a single job in this process
    found = run_all(cluster, work, range(5), mnist_5k)
    assert sorted(cell for cell, _, _ in found) == [0, 1, 2, 3, 4]
    assert {pid for _, pid, _ in found} <= {worker.pid for worker in cluster.workers.values()}
    assert {rest for _, _, rest in found} == {(len(mnist_5k.y_train), None, 1)}
    assert len(sent) == 1


@pytest.mark.parametrize("error", [DivergenceError, DataError, ConfigError])
def test_errors_of_a_worker_arrive_as_they_are(cluster, error):
    def work(cell, *args):
        if cell == 3:
            raise error("on the worker")
        return cell

    cluster.require(1)
    with pytest.raises(error, match="on the worker"):
        run_all(cluster, work, range(5))


def test_what_all_workers_have_lost_is_done_by_those_that_join(cluster, mnist_5k):
    import distributed

    def tasks(dask_scheduler):
        return len(dask_scheduler.tasks)

    def work(cell, dataset, *args):
        time.sleep(0.1)
        return cell, len(dataset.y_train)

    cluster.require(1)
    found = []
    with parallel.on_cluster(cluster.address) as run_cells:
        for run in run_cells(work, range(8), mnist_5k, None, 1):
            found.append(run)
            if len(found) == 2:
                cluster.kill_workers()
                with distributed.Client(cluster.address, set_as_default=False) as client:
                    assert client.run_on_scheduler(tasks) >= 6 + 1  # every run, and the data
                cluster.require(1)
    assert sorted(found) == [(cell, len(mnist_5k.y_train)) for cell in range(8)]


def test_workers_with_another_version_are_refused(cluster, monkeypatch):
    cluster.require(1)
    monkeypatch.setattr("pysi.__version__", "0.0.0")
    with pytest.raises(ConfigError, match="workers with pysi 0.0.0"):
        run_all(cluster, print, [])


def test_a_run_that_kills_its_workers_is_given_up(cluster):
    import distributed

    found = []

    def once(dask_scheduler):
        dask_scheduler.allowed_failures = 0

    cluster.require(1)
    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.run_on_scheduler(once)

    def wait():
        with pytest.raises(PysiError, match="KilledWorker"):
            run_all(cluster, lambda *args: os._exit(1), [0])
        found.append("given up")

    # In a thread, so that waiting for ever would be seen.
    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(30)
    assert found == ["given up"]


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_scheduler_s_end_is_a_sentence(tmp_path, name, mnist_5k):
    cluster, out = Cluster(tmp_path), tmp_path / "out"
    words = "--dataset mnist-5k --epochs 3 --hidden 64 --c 0 1 3 --seeds 3".split()
    command = [sys.executable, "-m", "pysi", "sweep", "split-mnist", *words, "--out", str(out)]
    with ExitStack() as at_the_end:
        at_the_end.callback(cluster.end)
        cluster.require(1)
        sweeping = at_the_end.enter_context(
            subprocess.Popen(
                [*command, "--dask", cluster.address],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        at_the_end.callback(sweeping.kill)
        while not (out / Sweep.file).exists() or not Sweep.load(out).runs:
            assert sweeping.poll() is None, sweeping.stderr.read()
            time.sleep(0.1)
        cluster.scheduler.send_signal(signal.Signals[name])
        _, errors = sweeping.communicate(timeout=60)
    assert sweeping.returncode == 1
    _, _, said = errors.partition("Stopped: ")
    assert "Traceback" not in errors
    assert "distributed" not in errors
    assert f"--resume {out} --dask" in said
    assert said.splitlines()[-1] == (
        "pysi: dask: expected a cluster that finishes what it is given, found that the scheduler, "
        f"{cluster.address}, has ended"
    )


def test_workers_without_the_package_are_refused(cluster, tmp_path):
    cluster.kill_workers()
    (tmp_path / "pysi.py").write_text("raise ModuleNotFoundError('No module named pysi')")
    cluster.require(1, PYTHONPATH=str(tmp_path))
    with pytest.raises(ConfigError, match="workers with pysi installed, found No module"):
        run_all(cluster, print, [])


def test_a_landscape_on_a_cluster_has_the_numbers_of_one_machine(
    cluster, mnist_5k, tmp_path, monkeypatch
):
    words = "landscape split-mnist --dataset mnist-5k --epochs 1 --seeds 1 --sweep-seeds 1"
    words += " --methods fine-tuning sgd lwf --scenarios class"
    monkeypatch.setattr("pysi.experiments.protocol.load_dataset", lambda *args: mnist_5k)
    monkeypatch.setitem(SplitMNIST.presets, "hsu", {"hidden": (9,), "batch_size": 64})
    cluster.require(2)
    scenarios = []
    for where in ("--jobs 1", f"--dask {cluster.address}"):
        out = tmp_path / where.partition(" ")[0]
        assert main([*words.split(), *where.split(), "--out", str(out)]) == 0
        scenarios.append(Overview.load(out).scenarios)
        for scenario in scenarios[-1].values():
            scenario.pop("libraries")  # a worker may have loaded others
    assert scenarios[0] == scenarios[1]
    assert not list((tmp_path / "--dask").rglob("*.npz"))  # workers need not see the folder
