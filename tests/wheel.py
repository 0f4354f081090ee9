"""Build the wheel, install it in a clean environment outside the checkout, import every module.

Run by `make build`. An editable install hides packaging faults: a subpackage left off the list
vanishes from the wheel silently.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "fedcausal": ROOT / "fedcausal",
    "fedcausal_privacy": ROOT / "privacy" / "fedcausal_privacy",
    "fedcausal_clients": ROOT / "clients" / "fedcausal_clients",
    "fedcausal_server": ROOT / "server" / "fedcausal_server",
    "fedcausal_simulations": ROOT / "simulations" / "fedcausal_simulations",
}
PACKAGED_DATA = (
    "fedcausal_simulations/heart/heart_disease_uci.csv",
    "fedcausal_simulations/heart/study.toml",
    "fedcausal/report/template.html",
    "fedcausal/py.typed",
)


def modules() -> list[str]:
    """Every importable module of the checkout by its dotted name."""
    found = []
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            found.append(".".join(p for p in parts if p != "__init__"))
    return sorted(found)


def run(*command: str, cwd: str) -> None:
    """Run one command; its failure is ours."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(command, cwd=cwd, env=environment, check=True)


def find_links() -> str:
    """The folder of local wheels that pip knows (uv does not read pip's configuration)."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return ",".join(asked.stdout.split())


def main() -> None:
    """Build, install elsewhere, import."""
    os.environ["UV_FIND_LINKS"] = os.environ.get("UV_FIND_LINKS") or find_links()
    with tempfile.TemporaryDirectory() as folder:
        build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
        run(*build, str(ROOT), cwd=folder)
        (wheel,) = Path(folder).glob("*.whl")
        run(sys.executable, "-m", "venv", "--without-pip", "clean", cwd=folder)
        python = str(Path(folder) / "clean" / "bin" / "python")
        uv = str(Path(sys.executable).with_name("uv"))
        constraints = str(ROOT / "constraints.txt")
        target = ("--python", python, "--constraint", constraints)
        run(uv, "pip", "install", "--quiet", *target, str(wheel), cwd=folder)
        imports = "; ".join(f"import {name}" for name in modules())
        data = f"root.joinpath(name).is_file() for name in {PACKAGED_DATA!r}"
        locate = "import pathlib, fedcausal; root = pathlib.Path(fedcausal.__file__).parent.parent"
        outside = f"not root.is_relative_to({str(ROOT)!r})"
        check = f"{imports}; {locate}; raise SystemExit(not ({outside} and all({data})))"
        run(python, "-c", check, cwd=folder)
        run(str(Path(python).with_name("fedcausal")), "--version", cwd=folder)
    print(f"wheel: {len(modules())} modules import outside the checkout")


if __name__ == "__main__":
    main()
