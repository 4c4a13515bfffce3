"""`membudget config`: what is wrong with a settings file, what may stand there, what holds.

And how the settings of others are told here.
"""

from __future__ import annotations

import json
import os

import click

from membudget.cli import USAGE
from membudget.errors import ConfigError
from membudget.settings import Settings, resolve
from membudget.settings.file import read_file
from membudget.settings.file import schema as file_schema
from membudget.settings.table import CONFIG_VARIABLE, SETTINGS, advice_for, known_setting
from membudget.units import printable


@click.group()
def command() -> None:
    """Check settings, describe them, and show where each came from."""


@command.command()
@click.argument("file", required=False, type=click.Path(), metavar="[FILE]")
def check(file: str | None) -> int:
    """Tell all that is wrong with FILE, by default the one that MEMBUDGET_CONFIG names.

    Also what keeps a budget with these settings from being kept on this machine, as far as a start
    would tell of it. Exits 0 when all is well and 64 otherwise, with a line for each error.
    """
    path = file or os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise click.UsageError(f"no file to check: name one, or set {CONFIG_VARIABLE}")
    found = read_file(path, source="" if file else CONFIG_VARIABLE)
    others = resolve({}, {})
    values, origins = {**others.values, **found.values}, {**others.origins, **found.origins}
    settings = Settings(values=values, origins=origins)
    errors: list[object] = [*found.errors]
    if not any(key.startswith("thresholds.") for key in found.refused):
        errors += settings.misplaced()  # Marks out of order, where each by itself is right.
    if not errors:
        from membudget.budget.plugins import Sources  # what a start loads, only where it is tried

        sources = Sources(settings)
        try:
            errors += [f"{found.name}: {what}" for what in sources.check(settings)]
        except ConfigError as error:
            errors.append(f"{found.name}: {error}")
        finally:
            sources.leave()
    for told in errors:
        click.echo(str(told), err=True)
    if errors:
        return USAGE
    count = len(found.values)
    click.echo(f"{found.name}: {count} setting{'' if count == 1 else 's'}, all good")
    return 0


@command.command()
@click.argument("file", metavar="FILE")
@click.option("--out", metavar="FILE", help="A new file of YAML; else standard output.")
def convert(file: str, out: str | None) -> int:
    """Turn the settings of a hand-written manager, monitor or cache in FILE into a file of ours.

    FILE is YAML, JSON, TOML, or Python with the settings as literals. Exits 0 when all of them have
    a place here, 1 when some have not (each is told, with what to do instead), 64 when FILE cannot
    be read.
    """
    from membudget.settings.convert import convert as converted

    if out is not None and not out.endswith((".yaml", ".yml")):
        raise click.UsageError(f"--out {out!r} would hold YAML: name it .yaml")
    found = converted(file)
    if out is None:
        click.echo(found.text, nl=False)
    else:
        try:
            with open(out, "x", encoding="utf-8") as target:
                target.write(found.text)
        except FileExistsError:
            raise click.UsageError(f"--out {out!r} is there already: name another") from None
        except OSError as error:
            reason = error.strerror or error
            raise click.UsageError(f"--out {out!r} cannot be written: {reason}") from None
    for one in found.lost:
        click.echo(f"no equivalent: {one}", err=True)
    return 1 if found.lost else 0


@command.command()
@click.option("--json", is_flag=True, expose_value=False, help="It always is JSON.")
def schema() -> None:
    """Print the JSON Schema of a settings file, for editors that check and complete."""
    click.echo(json.dumps(file_schema(), indent=2))


@command.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option(
    "--config", "file", type=click.Path(), metavar="FILE", help="A settings file, YAML or TOML."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all of them.")
def explain(keys: tuple[str, ...], file: str | None, *, as_json: bool) -> None:
    """Show each setting's value and where it came from, or only each KEY's, or a section's."""
    settings = resolve({}, None, file)
    known = [*SETTINGS, *(one for one in settings.values if one not in SETTINGS)]
    shown = known if not keys else []
    for key in keys:
        found = [one for one in known if f"{one}.".startswith(f"{key}.")]
        if not found:
            raise click.UsageError(f"setting {key!r} is not known: {advice_for(key)}")
        shown = [*shown, *(one for one in found if one not in shown)]
    if as_json:
        explained = {
            one: {
                "value": setting.write(settings[one]),
                "origin": settings.origins[one],
                "meaning": setting.meaning,
                "form": setting.kind.form,
                "variable": setting.variable,
                "live": setting.is_live,
            }
            for one, setting in ((one, known_setting(one)) for one in shown)
        }
        click.echo(json.dumps(explained, indent=2))
        return
    rows = [(one, in_words(settings, one), settings.origins[one]) for one in shown]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, origin in rows:
        click.echo(printable(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}"))
    for key in keys:
        if key not in shown:  # A section.
            continue
        setting = known_setting(key)
        also = f", here or as {setting.variable}" if setting.variable else ""
        name = f"{key}: " if len(keys) > 1 else ""
        click.echo(f"{name}{setting.meaning}; give {setting.kind.form}{also}")


def in_words(settings: Settings, key: str) -> str:
    """A setting's value, for people."""
    value = known_setting(key).write(settings[key])
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(value) if isinstance(value, list) else str(value)
