"""A page of Markdown as text for a terminal."""

from membudget.cli.help import as_text

PAGE = """\
(a-label)=
# Ask before a *big* load

<!-- setup
hidden = 1
-->

Each word of a **paragraph** with [a link](other.md), {setting}`limit` and
[one](https://example.org/x) is wrapped.

```python
budget = start("400MiB")  # as long as it is, and never wrapped

go()
```

:::{note}
Said besides.
:::

1. First, which goes on for longer
   than a line has room.
2. Second:

   ```sh
   membudget memory
   ```

## Figures

| name | default | |
| --- | :-: | --- |
| `rounds` | 6 | two or more, as many as there is time for |
"""

SHOWN = """\
Ask before a *big* load
=======================

Each word of a paragraph with a link,
`limit` and one (https://example.org/x) is
wrapped.

    budget = start("400MiB")  # as long as it is, and never wrapped

    go()

Said besides.

1. First, which goes on for longer than a
   line has room.
2. Second:

    membudget memory

Figures
-------

name      default
`rounds`  6        two or more, as many as
                   there is time for
"""


def test_text_is_wrapped_headings_are_underlined_and_code_stands_as_it_is() -> None:
    assert list(as_text(PAGE, 43)) == SHOWN.splitlines()


def test_a_table_without_room_is_told_in_lines() -> None:
    last = list(as_text(PAGE, 30))[-2:]
    assert last == ["- `rounds` · 6 · two or more,", "  as many as there is time for"]


def test_nothing_but_code_is_wider_than_the_terminal() -> None:
    for width in (30, 60, 80):
        lines = [line for line in as_text(PAGE, width) if not line.startswith("    ")]
        assert max(map(len, lines)) <= width
