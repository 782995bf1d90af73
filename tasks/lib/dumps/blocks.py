"""What dumps of every form are read into: blocks of rows, and spans that are no rows, with nothing lost."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from tasks.lib.dumps.packing import Stream
from tasks.lib.errors import OutputError

RAW_LIMIT = 64 << 10
Fault = tuple[str, str]  # a code, and what was expected and found
Check = Callable[[list[str]], Fault | None]


@dataclass(frozen=True, slots=True)
class Options:
    """How a dump is read; Parquet ignores the encoding, and JSON lines and Parquet the delimiter.

    The delimiter is found out if not given. `max_bytes` bounds the decompressed size; `block_rows` rows or about
    `block_bytes` bytes make a block; a line or record of more than `record_limit` bytes is quarantined.
    """

    review_column: str = "review"
    encoding: str = "utf-8"
    delimiter: str | None = None
    max_bytes: int | None = None
    block_rows: int = 2048
    block_bytes: int = 8 << 20
    record_limit: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """A quarantined record, or lines that hold no record to be trusted; it counts as one row."""

    ordinal: int  # among all records, good and bad, from 1
    first_line: int  # a physical one, the file's first being 1; of Parquet, the row
    last_line: int
    reason: str  # a code
    detail: str  # what was expected and found; never text of the record
    raw: bytes  # as they are in the file, RAW_LIMIT at most; of Parquet, the row as an object of JSON
    raw_bytes: int  # how many there are


@dataclass
class Block(ABC):
    """Good records with their ordinals and first lines, and the spans met among them; all in the file's order."""

    ordinals: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    @property
    @abstractmethod
    def rows(self) -> list[list[str]]:
        """The fields of the good records."""

    @abstractmethod
    def strings(self, index: int) -> list[str]:
        """The good records' fields in one column."""

    def column(self, index: int) -> Any:
        """The same as an Arrow array of strings, if the form of the dump has them so; else as they are in `strings`."""
        return self.strings(index)

    @property
    def records(self) -> int:
        """How many records there are, good and bad."""
        return len(self.ordinals) + len(self.spans)


@dataclass
class RowBlock(Block):
    """A block of a form that has a record after the other."""

    good: list[list[str]] = field(default_factory=list)

    @property
    def rows(self) -> list[list[str]]:
        """The fields of the good records."""
        return self.good

    def strings(self, index: int) -> list[str]:
        """The good records' fields in one column."""
        return [row[index] for row in self.good]


@dataclass(slots=True)
class Counts:
    """Rows (good records and spans), blank lines, and the lines and bytes that they and the header account for.

    The lines of Parquet are its rows, and its bytes are those of the text in its cells.
    """

    rows: int = 0
    blank: int = 0
    lines: int = 0
    bytes: int = 0


class OpenDump(ABC):
    """An open review dump; iterate once over its blocks.

    `header` has the column names as they stand, and `delimiter` what parts them, "" if they stand in no line of their
    own. `counts` and the file's `sha256` are there when the iteration has ended.
    """

    header: tuple[str, ...]
    review_index: int
    delimiter = ""
    sha256 = ""

    def __init__(self, stream: Stream, options: Options) -> None:
        """Reads as much of the stream as tells the header. Raises InputError for what is no dump as a whole."""
        self.stream, self.options, self.counts = stream, options, Counts()
        self.check: Check | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[Block]:
        """The blocks, none of them empty. Raises InputError if the file is damaged or too large."""

    def quarantine(self, check: Check) -> None:
        """Quarantines records of which `check` says what is wrong, too; to be called before the iteration."""
        self.check = check

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()

    def balance(self, lines: int, length: int) -> None:
        """Raises OutputError unless what was read is what the counts account for."""
        counts = self.counts
        if (lines, length) != (counts.lines, counts.bytes):
            read = f"{lines} lines of {length} bytes read, but {counts.lines} of {counts.bytes} accounted for"
            raise OutputError(f"{self.stream.name}: {read}. Nothing is published.")
