"""Review dumps, whatever their form: which one a file has, by its name, and the file opened."""

import re
from dataclasses import replace
from pathlib import Path

from tasks.lib.dumps import header
from tasks.lib.dumps.blocks import OpenDump, Options
from tasks.lib.dumps.delimited import DelimitedDump
from tasks.lib.dumps.json_lines import JsonLinesDump
from tasks.lib.dumps.packing import Stream
from tasks.lib.dumps.parquet import ParquetDump

SUFFIXES = re.compile(r"\.(csv|tsv|jsonl|ndjson)(\.(gz|zst|bz2))?$|\.parquet$", re.IGNORECASE)
NOT_A_DUMP = (
    "expected a name that ends in .csv, .tsv, .jsonl or .ndjson, or these with .gz, .zst or .bz2, or in .parquet"
)
# What holds reviews and is not read: whoever put it there has to be told, not only that some file is no dump.
_REFUSED = {
    r"\.(xls[xmb]?|ods|fods|numbers)$": "workbooks are not read; save its sheet as CSV UTF-8",
    r"\.zip$": "ZIP archives are not read; unpack it, and pack each file with gzip if it has to be small",
    r"\.parquet\.(gz|zst|bz2)$": "Parquet is compressed within itself; unpack the file",
}
_FORMS: dict[str, type[OpenDump]] = {
    "jsonl": JsonLinesDump,
    "ndjson": JsonLinesDump,
    "parquet": ParquetDump,
}


def is_dump(name: str) -> bool:
    """Whether the file of this name is one to be read as a dump."""
    return bool(SUFFIXES.search(name))


def refusal(name: str) -> str | None:
    """What to do with a file of this name that holds reviews in a form that is not read; None for any other file."""
    return next((advice for end, advice in _REFUSED.items() if re.search(end, name, re.IGNORECASE)), None)


def open(path: Path, options: Options = Options()) -> OpenDump:
    """Opens a dump: JSON lines or Parquet if its name says so, and any other file as CSV or TSV.

    Raises InputError for what is no dump as a whole.
    """
    options = replace(options, encoding=header.check_options(options.encoding, options.delimiter))
    match = SUFFIXES.search(path.name)
    form = _FORMS.get(match[0].split(".")[1].lower(), DelimitedDump) if match else DelimitedDump
    stream = Stream(path, max_bytes=options.max_bytes)
    try:
        return form(stream, options)
    except BaseException:
        stream.close()
        raise
