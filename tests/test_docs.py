"""Documents that are written from the code are what the code says."""

from pathlib import Path

from gateway.cli.reference import reference
from gateway.settings import load_settings
from gateway.telemetry import semantic
from gateway.telemetry.labels import label_table
from gateway.telemetry.metrics import table

ROOT = Path(__file__).resolve().parent.parent


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == reference(), "run: prompt-canary config reference > docs/configuration.md"
    undocumented = [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert not undocumented


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert page[page.index("| metric |") :] == table()


def test_every_label_and_every_name_of_opentelemetry_is_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert label_table() in page
    assert semantic.table() in page


def test_the_examples_are_valid() -> None:
    providers = ("OPENAI", "AZURE_OPENAI", "OPENROUTER", "GEMINI", "ANTHROPIC")
    environment = {"REDIS_URL": "redis://redis:6379/0", "PROMPT_CANARY_KEY": "k" * 32}
    environment |= {f"{name}_API_KEY": "x" for name in providers}
    for path in sorted((ROOT / "config").glob("*.yaml")):
        load_settings(path.read_text(), source=path.name, environment=environment)


def test_local_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    targets = [part.split(")")[0] for part in text.split("](")[1:]]
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing
