"""Prompt files for tests, as text and as values."""

from gateway.promptfiles.prompty import PromptFile, parse


def prompt_text(body: str = "You are kind.", *, name: str = "support-agent", front: str = "") -> str:
    return f"---\nname: {name}\n{front}---\nsystem:\n{body}\n"


def prompt_file(body: str = "You are kind.", *, name: str = "support-agent", front: str = "") -> PromptFile:
    return parse(prompt_text(body, name=name, front=front), source=f"{name}.prompty")


def described(*, change: str = "", suite: str = "") -> str:
    """Front matter with metadata."""
    canary = f"\n  canary: {{suite: {suite}}}" if suite else ""
    return f'metadata:\n  owner: support-team\n  change: "{change}"{canary}\n'
