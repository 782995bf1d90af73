"""What can be set, one frozen model per stage.

Each model is the flow's parameter, the command line's flags and the form in Prefect's UI at once, so a
description here is what a user reads in all three places.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from tasks.lib import errors

# A path, or the URL of an object or a folder in a bucket. It is text, since `Path` would take a slash out of s3://.
Place = Annotated[
    str | Path,
    BeforeValidator(lambda place: str(place) if isinstance(place, Path) else place),
    WithJsonSchema({"type": "string"}),
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ValidationSplit = Annotated[
    float, Field(gt=0, lt=1, description="Share of the training reviews, the last ones, kept for validation.")
]


class StageConfig(BaseModel):
    """The base of all stage configurations: immutable, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CorpusConfig(StageConfig):
    """Which labelled reviews to train on, and where they come from."""

    corpus: Literal["imdb", "sample", "own"] = Field(
        "imdb",
        description="The IMDB reviews, the small synthetic corpus in data/sample, or the labelled reviews in "
        "data/labels alone.",
    )
    archive: str | None = Field(
        None, description="Path or URL of an imdb.npz, instead of the official address of the corpus."
    )
    word_index: str | None = Field(
        None, description="Path or URL of its imdb_word_index.json, instead of the official address."
    )
    archive_sha256: Sha256 | None = Field(
        None, description="Expected sha256 of --archive. The official files are always checked."
    )
    unlabelled: str | None = Field(
        None,
        description="Reviews without labels, for --vectors and --pretrain-epochs: path or URL of aclImdb_v1.tar.gz or "
        "of a dump, or `official` for the official address of the former (84 MB). Default: none.",
    )
    review_column: str = Field(
        "review",
        min_length=1,
        description="Name of the column that holds the review, in data/labels and in a dump of --unlabelled.",
    )
    labels: str | None = Field(
        None, description="URL of a folder in a bucket whose files of labels count beside those in data/labels."
    )


class ShardConfig(StageConfig):
    """How reviews become rows of token ids, and how the rows are split."""

    num_words: int = Field(
        10_000, ge=4, le=1_000_000, description="Vocabulary: ids 0 to num_words - 1; rarer words become id 2."
    )
    maxlen: int = Field(200, ge=1, le=10_000, description="Token ids per review: the last ones, padded on the left.")
    validation_split: ValidationSplit = 0.2


class SplitConfig(StageConfig):
    """How the training reviews are split: all of `ShardConfig` that the baseline depends on."""

    validation_split: ValidationSplit


class NetworkConfig(StageConfig):
    """The recurrent network."""

    cell: Literal["simple_rnn", "lstm", "gru"] = Field("simple_rnn", description="Recurrent cell.")
    layers: int = Field(1, ge=1, le=8, description="Recurrent layers stacked on each other.")
    bidirectional: bool = Field(False, description="Read each review in both directions.")
    embedding_dim: int = Field(64, ge=1, le=4096, description="Numbers per word in the embedding.")
    units: int = Field(32, ge=1, le=4096, description="Units of each recurrent layer (per direction).")
    pooling: Literal["last", "max", "max_mean"] = Field(
        "last",
        description="What the output layer sees: the last state, the maximum over all words, or that beside the mean "
        "of the word vectors.",
    )
    word_dropout: float = Field(0.0, ge=0, lt=1, description="Share of words dropped in training.")
    vector_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of the embedding's numbers dropped in training, for a whole review each."
    )
    head_dropout: float = Field(0.0, ge=0, lt=1, description="Share of the output layer's inputs dropped in training.")
    vectors: bool = Field(
        False, description="Start from word vectors learned from the training reviews, and the unlabelled ones."
    )
    pretrain_epochs: int = Field(
        0,
        ge=0,
        le=1000,
        description="Epochs in which the network, if it has one recurrent layer, first learns to predict the words of "
        "these reviews.",
    )
    ngrams: bool = Field(
        False,
        description="Add the n-gram baseline to the network, in the proportion that suits the validation reviews.",
    )
    activation: Literal["relu", "tanh"] | None = Field(
        None,
        description="Activation of the recurrent layers, relu or tanh; default: relu for simple_rnn, else tanh, which "
        "cuDNN's fast path needs.",
    )

    @model_validator(mode="after")
    def _name_the_activation(self) -> Self:
        if self.activation is None:  # caches and manifests hold the one that is used
            object.__setattr__(self, "activation", "relu" if self.cell == "simple_rnn" else "tanh")
        return self


class VectorsConfig(SplitConfig):
    """What the word vectors depend on, beside the corpus."""

    num_words: int
    embedding_dim: int

    @classmethod
    def of(cls, shards: ShardConfig, network: NetworkConfig) -> Self:
        """Those that suit the network and its shards."""
        return cls(
            validation_split=shards.validation_split,
            num_words=shards.num_words,
            embedding_dim=network.embedding_dim,
        )


class LanguageConfig(SplitConfig):
    """What pre-training depends on, beside the reviews."""

    num_words: int
    cell: str
    activation: str | None
    bidirectional: bool
    embedding_dim: int
    units: int
    epochs: int

    @classmethod
    def of(cls, shards: ShardConfig, network: NetworkConfig) -> Self:
        """That of the network's first layers."""
        names = ("cell", "activation", "bidirectional", "embedding_dim", "units")
        return cls(
            validation_split=shards.validation_split,
            num_words=shards.num_words,
            epochs=network.pretrain_epochs,
            **{name: getattr(network, name) for name in names},
        )


class FitConfig(StageConfig):
    """How the network is trained."""

    epochs: int = Field(10, ge=1, le=1000, description="Epochs at most.")
    batch_size: int = Field(128, ge=1, le=65_536, description="Reviews per training step.")
    batches: Literal["random", "like_length"] = Field(
        "random",
        description="What shares a training step: random reviews, or reviews of like length without their common "
        "padding, which needs --pooling max or max_mean.",
    )
    learning_rate: float = Field(0.001, gt=0, le=1, description="Learning rate of the optimizer.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="Learning rate over the training: constant, or down to 0 along a cosine."
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="Weight decay: above 0, the optimizer is AdamW.")
    gradient_norm: float | None = Field(
        None, gt=0, description="Largest norm of all gradients together; default: no limit."
    )
    patience: int = Field(
        3, ge=0, le=1000, description="Epochs without a better validation loss before training stops."
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of the weights and of the shuffling.")
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="Where to compute; auto takes a GPU if there is one."
    )
    strategy: Literal["none", "mirrored", "multi_worker"] = Field(
        "none",
        description="Who shares the training steps: none, a single device; mirrored, all GPUs of this machine; "
        "multi_worker, the machines that TF_CONFIG names.",
    )


class SearchConfig(StageConfig):
    """How many configurations to try."""

    search: int = Field(
        1,
        ge=1,
        le=1000,
        description="Train so many networks, the given one and others with options drawn at random, and publish the "
        "one with the least loss on the validation reviews.",
    )


class LabelsConfig(StageConfig):
    """How the labelled reviews in data/labels are read, and how much they count."""

    label_column: str | None = Field(
        None,
        min_length=1,
        description="Name of the column with the labels in data/labels; default: label, or sentiment.",
    )
    stars: int | None = Field(
        None,
        ge=5,
        le=10,
        multiple_of=5,
        description="The labels are stars, 5 or 10 at most; 3 of 5, and 5 and 6 of 10, are left out.",
    )
    labels_encoding: str | None = Field(
        None,
        description="Text encoding of the files in data/labels that are not in UTF-8, for example cp1252; default: "
        "their rows with other bytes are quarantined.",
    )
    labels_weight: float = Field(
        1.0, gt=0, le=1000, description="How much a review of data/labels counts in training beside one of the corpus."
    )


class AskConfig(StageConfig):
    """How many labels to ask for, and for which rows."""

    rows: int = Field(200, ge=1, le=100_000, description="Rows to ask for.")
    days: float = Field(7, gt=0, le=36_500, description="Ask for rows that were scored within so many days.")


def check_reading(corpus: CorpusConfig, network: NetworkConfig) -> None:
    """Raises `InputError` if the network cannot learn from plain reviews as it is asked to."""
    if network.pretrain_epochs and network.layers > 1:
        raise errors.InputError(
            f"--pretrain-epochs {network.pretrain_epochs}: expected --layers 1, found {network.layers}. Name "
            "--pretrain-epochs 0, or one layer."
        )
    if corpus.unlabelled and not (network.vectors or network.pretrain_epochs):
        raise errors.InputError(
            "--unlabelled: expected --vectors or --pretrain-epochs, which learn from these reviews. Name one of "
            "them, or --preset best."
        )


class ReleaseConfig(StageConfig):
    """When a new model replaces the current one."""

    force: bool = Field(False, description="Make the new model current even if it is worse, or from another corpus.")
    margin: float = Field(
        -0.5,
        ge=-100,
        le=100,
        description="Hold the new model if its gain in test accuracy may be below so many percentage points: the lower "
        "end of the 95 % interval counts.",
    )


class RunnerConfig(StageConfig):
    """Where review dumps are scored."""

    runner: Literal["local", "dask"] = Field(
        "local", description="Score in this process, or on a Dask cluster (extra `dask`)."
    )
    dask_address: str | None = Field(
        None,
        description="Address of a Dask scheduler, for example tcp://10.0.0.5:8786; default: a cluster on this machine, "
        "for this run alone.",
    )
    dask_workers: int = Field(2, ge=1, le=256, description="Worker processes of the cluster on this machine.")
    dask_split: float = Field(
        64, ge=0, description="Megabytes above which a dump is scored in parts, by all workers at once."
    )


class ScoreConfig(StageConfig):
    """How review dumps are read and scored."""

    model: str | None = Field(None, description="Id of the model to score with; default: the current one.")
    review_column: str = Field("review", min_length=1, description="Name of the column that holds the review.")
    keep: tuple[str, ...] | None = Field(
        None, description="Input columns to carry into the table; default: all of them."
    )
    threshold: float | None = Field(
        None, ge=0, le=1, description="Probability from which a review is positive; default: the model's."
    )
    encoding: str = Field("utf-8", description="Text encoding of the dumps, for example cp1252.")
    delimiter: Literal["comma", "semicolon", "tab"] | None = Field(
        None, description="Separator of the columns; default: detected from the header."
    )
    max_bytes: int | None = Field(
        None, ge=1, description="Largest size of a dump in bytes, unpacked; default: no limit."
    )
    max_quarantine: float = Field(
        0.05, ge=0, le=1, description="Share of quarantined rows or lines in a file above which the run fails."
    )
    rescore: bool = Field(False, description="Score files again that this model has scored already.")
    min_age: float = Field(
        0.0, ge=0, description="Skip files in folders that were modified less than this many seconds ago."
    )
    unscored_only: bool = Field(False, description="Skip files that any model has scored already.")
    requeue: bool = Field(
        False, description="Score quarantined rows, from the `-requeued` files in quarantine, repaired or not."
    )
    csv: bool = Field(
        False,
        description="Write the table of each dump, new or not, as CSV too, for spreadsheets.",
    )
    inbox: Place | None = Field(
        None, description="Folder, or URL of one in a bucket, to look for dumps in; default: data/inbox."
    )
    output: Place | None = Field(
        None,
        description="URL in a bucket, for tables, quarantine, reports and exports; default: the data folder.",
    )


class VerifyConfig(StageConfig):
    """Which score tables are verified, and how many of their rows are scored again."""

    rows: int = Field(100, ge=1, description="Rows of each table to score again; all of a table that has fewer.")
    all: bool = Field(False, description="Score every row again, not a sample.")
    part: str | None = Field(
        None,
        pattern=r"^(today|[1-9][0-9]*)/[1-9][0-9]*$",
        description="Verify a part of the tables: 3/30 is the third of 30 parts, today/30 another one each day.",
    )

    @field_validator("part")
    @classmethod
    def _check_part(cls, part: str | None) -> str | None:
        which, _, parts = (part or "today/1").partition("/")
        if which != "today" and int(which) > int(parts):
            raise ValueError("expected K/N with K from 1 to N")
        return part


class ReportConfig(StageConfig):
    """What the page of the last days shows."""

    days: int = Field(90, ge=1, le=1000, description="How many days the page shows, up to today.")
