"""The command line as a whole."""

import subprocess
import sys

HEAVY = ("torch", "vllm", "transformers", "sympy", "math_verify", "redis", "huggingface_hub")


def test_help_is_quick_to_come() -> None:
    code = (
        "import sys\n"
        "from rstar.main import app\n"
        "app(['--help'], standalone_mode=False)\n"
        f"sys.exit([name for name in {HEAVY} if name in sys.modules] or 0)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    for command in ("up", "solve", "serve", "models", "eval"):
        assert command in result.stdout


def test_serve_becomes_the_service() -> None:
    # A port outside the range is refused by the service's own settings.
    result = subprocess.run(
        [sys.executable, "-m", "rstar.main", "serve", "sandbox"],
        env={"PATH": "", "RSTAR_SANDBOX_PORT": "70000"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == "RSTAR_SANDBOX_PORT: 70000 is above the maximum of 65535\n"


def test_logs_stay_out_of_what_a_command_prints() -> None:
    code = (
        "from rstar import main\n"
        "from services.common import logs\n"
        "main.app = lambda: (logs.get('x').warning('lost'), print('[]'))\n"
        "main.main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
    assert "lost" in result.stderr
