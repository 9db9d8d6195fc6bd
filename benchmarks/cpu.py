"""Owns the CPU benchmark: library kernels against NumPy, and PyTorch where it is installed, on one thread.

``python -m benchmarks.cpu`` measures, stores a JSON file under ``benchmarks/results`` and prints a Markdown table;
``--table FILE`` prints the table of a stored file; ``--readme`` puts the table of the newest one into ``README.md``.
Calls are taken in turns, so that a busy moment hits all alike, in CPU time of the calling thread; the best counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.peers import Case, cases, torch_peers

import tilewright as tw

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
LIBRARY = ROOT / "compiler" / "library"
ONE_THREAD = {
    name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TILEWRIGHT_THREADS")
}
AGREEMENT = 2e-3  # largest difference to the peer, in units of its largest value: the tanh form of gelu is this far off
TITLES = {"kernel": "kernel", "size": "size", "ms": "ms", "numpy": "NumPy / ours", "torch": "PyTorch / ours"}
START, END = "<!-- numbers -->\n", "<!-- /numbers -->"

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; starts itself again where the environment allows more than one thread."""
    options = _options(arguments)
    if options.table:
        return print(table(json.loads(options.table.read_text())), end="")
    if options.readme:
        return write_readme()
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        command = [sys.executable, "-m", "benchmarks.cpu", *(sys.argv[1:] if arguments is None else arguments)]
        raise SystemExit(subprocess.run(command, env={**os.environ, **ONE_THREAD}, cwd=ROOT).returncode)
    record = measure(options.only, options.rounds)
    print(table(record), end="")
    if not options.only:
        print(f"stored as {store(record).relative_to(ROOT)}", file=sys.stderr)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description="measure library kernels on the CPU")
    parser.add_argument("--only", default="", metavar="TEXT", help="kernels with this in their name; stores nothing")
    parser.add_argument("--rounds", type=int, default=7, help="the best of so many calls counts")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the table of a stored file")
    parser.add_argument("--readme", action="store_true", help="put the newest table into README.md")
    return parser.parse_args(arguments)


# ---------------------------------------------------------------- measuring


def measure(only: str, rounds: int) -> dict[str, Any]:
    """The record of one run: where, when, with what, and a row for each kernel."""
    peers = torch_peers()
    rows = []
    for case in cases(np.random.default_rng(0)):
        if only in case.kernel:
            rows.append(measure_case(case, peers.get(case.kernel), rounds))
            print(f"{case.kernel}: {rows[-1]['ratios']}", file=sys.stderr, flush=True)
    return {**circumstances(bool(peers)), "rounds": rounds, "rows": rows}


def circumstances(with_torch: bool) -> dict[str, Any]:
    """What a reader must know to weigh the figures."""
    from llvmlite import binding

    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu_model(),
        "llvm_cpu": binding.get_host_cpu_name(),
        "cores": os.cpu_count(),
        "busy": round(os.getloadavg()[0], 1),
        "threads": 1,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "tilewright": tw.__version__,
    }
    return record | {"torch": __import__("torch").__version__} if with_torch else record


def cpu_model() -> str:
    """As the kernel of the system names it."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def measure_case(case: Case, torch_peer: Callable[..., Any] | None, rounds: int) -> Row:
    """Check against NumPy, then time all in turns."""
    kernel = getattr(tw.load(LIBRARY / f"{case.file}.tw"), case.kernel)
    started = time.process_time()
    result = kernel(**case.inputs, **case.consts)
    first = time.process_time() - started
    error = difference(first_of(result), first_of(case.numpy(**case.inputs)))
    if error > AGREEMENT:
        raise SystemExit(f"{case.kernel} differs from NumPy by {error:.1e}")
    calls = {"ours": lambda: kernel(**case.inputs, **case.consts), "numpy": lambda: case.numpy(**case.inputs)}
    if torch_peer is not None:
        tensors = {name: as_torch(value) for name, value in case.inputs.items()}
        calls["torch"] = lambda: torch_peer(**tensors)
    best = interleaved(calls, rounds)
    ratios = {name: round(best[name] / best["ours"], 3) for name in calls if name != "ours"}
    return {
        "kernel": case.kernel, "size": case.size, "first_call_ms": round(1e3 * first, 1),
        "difference": float(f"{error:.1e}"),
        "ms": {name: round(1e3 * seconds, 4) for name, seconds in best.items()}, "ratios": ratios,
    }  # fmt: skip


def interleaved(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The least CPU time of each call, in seconds."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.thread_time()
            call()
            best[name] = min(best[name], time.thread_time() - started)
    return best


def first_of(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def difference(result: Any, expected: Any) -> float:
    """The largest difference in units of the largest expected value."""
    return float(np.abs(result - expected).max() / max(1e-30, float(np.abs(expected).max())))


def as_torch(value: Any) -> Any:
    return __import__("torch").from_numpy(value) if isinstance(value, np.ndarray) else value


# ---------------------------------------------------------------- results


def store(record: Mapping[str, Any]) -> Path:
    """Write the record under its date and CPU."""
    cpu = re.sub(r"[^a-z0-9]+", "-", f"{record['cpu']} {record['llvm_cpu']}".lower()).strip("-")
    path = RESULTS / f"cpu-{record['date']}-{cpu}.json"
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def newest() -> Path:
    """The stored file with the latest date."""
    return max(RESULTS.glob("cpu-*.json"), key=lambda path: json.loads(path.read_text())["date"])


def table(record: Mapping[str, Any]) -> str:
    """A Markdown table: above 1, ours is faster."""
    columns = [name for name in TITLES if name != "torch" or "torch" in record]
    lines = [[TITLES[name] for name in columns], ["---", "---", *["---:"] * (len(columns) - 2)]]
    for row in record["rows"]:
        cells = {"kernel": f"`{row['kernel']}`", "size": row["size"], "ms": f"{row['ms']['ours']:.2f}"}
        cells |= {name: f"{ratio:.2f}" for name, ratio in row["ratios"].items()}
        lines.append([cells.get(name, "") for name in columns])
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{headline(record)}\n\n{body}\n"


def headline(record: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{title} {record[key]}" for key, title in (("numpy", "NumPy"), ("torch", "PyTorch"))
                         if key in record)  # fmt: skip
    busy = f"; {record['cores']} cores with a load of {record['busy']}" if record["busy"] > record["cores"] else ""
    return (
        f"{record['cpu']} ({record['llvm_cpu']}){busy}; one thread, f32, CPU time, best of {record['rounds']} calls "
        f"taken in turns; {versions}; {record['date']}. Above 1, ours is faster."
    )


def write_readme() -> None:
    """Replace what stands between the marks in ``README.md``."""
    path = ROOT / "README.md"
    head, rest = path.read_text().split(START)
    path.write_text(f"{head}{START}{table(json.loads(newest().read_text()))}{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
