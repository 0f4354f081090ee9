"""Command lines of this repository's files, parsed as the program would parse them."""

import re
import shlex

from tests.test_readme import fault_of, words_of

__all__ = ["fault_in", "fenced_commands", "shell_commands"]

PLACEHOLDERS = {"%i": "north"}


def fault_in(words):
    """What is wrong with the arguments of `fedcausal`; None when they parse."""
    fault = fault_of([PLACEHOLDERS.get(word, word) for word in words if word != "--help"])
    # The files that a line names are not on this machine.
    return None if fault is None or "does not exist" in fault else fault


def shell_commands(text):
    """Arguments of every `fedcausal` in a line of shell (`test ... || fedcausal ...`)."""
    for part in re.split(r"\|\||&&|;", text):
        words = shlex.split(part, comments=True)
        names = [i for i, word in enumerate(words) if word.rsplit("/", 1)[-1] == "fedcausal"]
        if names:
            yield words_of(shlex.join(words[names[-1] :]))


def fenced_commands(text):
    """Lines of code blocks (indented by four, or between fences), continuations joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks += re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"\s*(\S+\s+)*(\S*/)?fedcausal [a-z]", line):
                yield line.strip()
