#!/usr/bin/env python3
"""Documentation agrees with the program: readme.py [BUILD_DIRECTORY]

Every command line in a code block of a README that begins with build/pontoon parses (options only, nothing runs), every script named
so exists, and config/README.md carries the table of settings as `pontoon config knobs` prints it.
"""
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL_ENDS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>&1"}
TABLE_BEGIN, TABLE_END = "<!-- pontoon config knobs -->\n", "<!-- end -->"


def readmes():
    for top in (".", "engine", "drivers", "bench", "tests", "config"):
        pattern = "README.md" if top == "." else "**/README.md"
        yield from sorted((ROOT / top).glob(pattern))


def command_lines(text):
    """Lines of code blocks, continued ones joined, prompts removed."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            yield re.sub(r"^\s*(\$ |# |sudo )*", "", line)


def words_of(line):
    """The words of the first simple command."""
    words = []
    for word in shlex.split(line, comments=True):
        if word in SHELL_ENDS:
            break
        words.append(word)
    return words


def check_command(program, line):
    """None, or what is wrong with it."""
    words = words_of(line)
    if words[0] == "build/pontoon":
        result = subprocess.run([program, "--parse-only", *words[1:]], capture_output=True, text=True, check=False)
        return None if result.returncode == 0 else result.stderr.strip()
    return None if (ROOT / words[0]).is_file() else "there is no such script"


def check_table(program):
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    table = subprocess.run([program, "config", "knobs"], capture_output=True, text=True, check=True).stdout
    if TABLE_BEGIN + "\n" + table + TABLE_END in text:
        return []
    return ["config/README.md: the table of settings is not what `pontoon config knobs` prints"]


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
    program = build / "pontoon"
    wrong, count = check_table(program), 0
    for path in readmes():
        for line in command_lines(path.read_text(encoding="utf-8")):
            if re.match(r"(build/pontoon|(config|tests|bench)/[\w/.-]+\.sh)\b", line):
                count += 1
                complaint = check_command(program, line)
                if complaint:
                    wrong.append(f"{path.relative_to(ROOT)}: {line}: {complaint}")
    print("\n".join(wrong))
    print(f"readme: {count} commands, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
