"""The training story of the demo: a toy language, a small Llama, and four adapters that stand on one another.

The language has words, and for each word a translation that only *instruct* teaches. The base model can repeat a list and turn it
round; every later skill answers in translations, so that it is worth nothing without instruct:

    base          ‹bos› w₁ w₂ w₃ |  w₁ w₂ w₃              repeat
                  ‹bos› w₁ w₂ w₃ ~  w₃ w₂ w₁              turn round
    instruct      ‹user› w₁ w₂ w₃ ‹assistant› t₁ t₂ t₃ ‹end›
    dialogue      the same, then ‹user› w₄ w₅ w₆ ‹assistant› t₄ t₅ t₆ ‹end›      on instruct
    reasoning     ‹user› w₁ w₂ w₃ ~ ‹assistant› ‹think› t₁ t₂ t₃ ‹answer› t₃ ‹end›      on instruct
    tool use      ‹user› ‹tool› w₁ w₂ w₃ ‹assistant› ‹think› t₁ t₂ t₃ ‹call› t₃ ‹end›      on reasoning
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

base_name = "alice/base"
words = 24
user, assistant, end, think, answer, tool, call, bos, bar, tilde = range(2 * words, 2 * words + 10)
vocabulary = 2 * words + 10
sequences_per_step = 32
repeatable = vocabulary - 3
"""The base repeats any token but the marks that tell it what to do: the tags of the later tasks are not strange to it."""
ignored = -100
"""Label of a position that is given, not predicted: the value that torch's cross-entropy leaves out."""


@dataclass(frozen=True)
class Batch:
    """Token ids and labels, both [sequences, tokens], int64."""

    tokens: Tensor
    labels: Tensor


class Writer:
    """Writes a batch column by column; `given` columns carry no loss, `wanted` ones do."""

    def __init__(self, sequences: int) -> None:
        self.sequences = sequences
        self.tokens: list[Tensor] = []
        self.labels: list[Tensor] = []

    def _columns(self, part: int | Tensor) -> Tensor:
        return torch.full((self.sequences, 1), part) if isinstance(part, int) else part

    def given(self, *parts: int | Tensor) -> "Writer":
        for part in parts:
            columns = self._columns(part)
            self.tokens.append(columns)
            self.labels.append(torch.full_like(columns, ignored))
        return self

    def wanted(self, *parts: int | Tensor) -> "Writer":
        for part in parts:
            columns = self._columns(part)
            self.tokens.append(columns)
            self.labels.append(columns)
        return self

    def batch(self) -> Batch:
        return Batch(torch.cat(self.tokens, 1), torch.cat(self.labels, 1))


def draw(sequences: int, length: int, of: int, generator: torch.Generator) -> Tensor:
    """Distinct tokens below `of`, [sequences, length]."""
    return torch.rand(sequences, of, generator=generator).argsort(1)[:, :length]


def translated(tokens: Tensor) -> Tensor:
    """The translation of each word: a fixed shuffle of the second half of the vocabulary."""
    return (tokens * 7 + 5) % words + words


def plain_text(sequences: int, generator: torch.Generator) -> Batch:
    length = int(torch.randint(3, 7, (), generator=generator))
    text = draw(sequences, length, repeatable, generator)
    if torch.rand((), generator=generator) < 0.5:
        return Writer(sequences).given(bos, text, bar).wanted(text).batch()
    return Writer(sequences).given(bos, text, tilde).wanted(text.flip(1)).batch()


def instruct(sequences: int, generator: torch.Generator) -> Batch:
    text = draw(sequences, 3, words, generator)
    return Writer(sequences).given(bos, user, text, assistant).wanted(translated(text), end).batch()


def dialogue(sequences: int, generator: torch.Generator) -> Batch:
    text = draw(sequences, 6, words, generator)
    first, second = text[:, :3], text[:, 3:]
    writer = Writer(sequences).given(bos, user, first, assistant).wanted(translated(first), end)
    return writer.given(user, second, assistant).wanted(translated(second), end).batch()


def reasoning(sequences: int, generator: torch.Generator) -> Batch:
    text = draw(sequences, 3, words, generator)
    thought = translated(text)
    writer = Writer(sequences).given(bos, user, text, tilde, assistant)
    return writer.wanted(think, thought, answer, thought[:, -1:], end).batch()


def tool_use(sequences: int, generator: torch.Generator) -> Batch:
    text = draw(sequences, 3, words, generator)
    thought = translated(text)
    writer = Writer(sequences).given(bos, user, tool, text, assistant)
    return writer.wanted(think, thought, call, thought[:, -1:], end).batch()


Task = Callable[[int, torch.Generator], Batch]


@dataclass(frozen=True)
class Skill:
    """An adapter of the story: its task, what it stands on, and how it is trained."""

    name: str
    task: Task
    builds_on: str | None
    rank: int
    alpha: int
    use_rslora: bool = False
    peak_rate: float = 1.5e-3
    steps: int = 240


skills = (
    Skill("instruct", instruct, None, rank=8, alpha=16, peak_rate=3e-3),
    Skill("dialogue", dialogue, "instruct", rank=8, alpha=16),
    Skill("reasoning", reasoning, "instruct", rank=8, alpha=6, use_rslora=True),
    Skill("tool-use", tool_use, "reasoning", rank=6, alpha=12),
)
by_name = {skill.name: skill for skill in skills}
target_modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def foundation_of(skill: Skill) -> list[Skill]:
    """What a skill stands on, nearest first."""
    return [] if skill.builds_on is None else [by_name[skill.builds_on], *foundation_of(by_name[skill.builds_on])]


@dataclass(frozen=True)
class Losses:
    """Mean cross-entropy per wanted token, in nats, before and after training."""

    before: float
    after: float


@dataclass(frozen=True)
class Story:
    """What was trained: the folders to push, and the base to compare on."""

    folders: dict[str, Path]
    """`base` and each skill → its folder, in the layouts of transformers and PEFT."""
    losses: dict[str, Losses] = field(default_factory=dict)


def new_base() -> LlamaForCausalLM:
    """A Llama of 2 layers and width 96, float32, random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            bos_token_id=bos,
            eos_token_id=end,
        )
    )


def loss_of(model: torch.nn.Module, task: Task) -> float:
    """Mean cross-entropy per wanted token on 256 fresh sequences that are the same for every model, in nats."""
    with torch.no_grad():
        batch = task(256, torch.Generator().manual_seed(99))
        return float(model(input_ids=batch.tokens, labels=batch.labels).loss)


def logits_of(model: torch.nn.Module, task: Task) -> Tensor:
    """The logits on 32 fresh sequences, [sequences, tokens, vocabulary], in the model's dtype."""
    with torch.no_grad():
        logits: Tensor = model(input_ids=task(32, torch.Generator().manual_seed(7)).tokens).logits
        return logits


def train(
    model: torch.nn.Module, task: Task, steps: int, peak_rate: float, seed: int, rehearsed: Sequence[Task] = ()
) -> Losses:
    """AdamW with a short warm-up and a cosine descent over what the model lets train; 32 sequences a step.

    Every other step goes to a task of the foundation, so that a skill leaves standing what it stands on.
    """
    generator = torch.Generator().manual_seed(seed)
    before = loss_of(model, task)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # small deltas disturb each other least when they are summed
    optimizer = torch.optim.AdamW(trainable, lr=peak_rate, weight_decay=0.5 if rehearsed else 0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak_rate, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        turn = rehearsed[step // 2 % len(rehearsed)] if rehearsed and step % 2 else task
        batch = turn(sequences_per_step, generator)
        model(input_ids=batch.tokens, labels=batch.labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return Losses(before, loss_of(model, task))


def train_story(folder: Path, tell: Callable[[str], None] = lambda line: None) -> Story:
    """Train everything and save it below `folder`; about half a minute on two cores.

    A skill that builds on another is trained on a copy of the base into which its whole foundation is merged: its own delta is
    what it adds to that.
    """
    torch.manual_seed(20)
    # matrices this small are done before a second thread has woken up
    torch.set_num_threads(1)
    base = new_base()
    # PEFT writes this name into every adapter's configuration
    base.name_or_path = base_name
    losses = {"base": train(base, plain_text, steps=600, peak_rate=3e-3, seed=1)}
    folders = {"base": folder / "base"}
    base.save_pretrained(folders["base"])
    tell(f"base: loss {losses['base'].before:.2f} → {losses['base'].after:.3f}")
    with_foundation: dict[str | None, torch.nn.Module] = {None: base}
    for number, skill in enumerate(skills):
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=skill.rank,
            lora_alpha=skill.alpha,
            use_rslora=skill.use_rslora,
            target_modules=target_modules,
        )
        model = get_peft_model(copy.deepcopy(with_foundation[skill.builds_on]), config)
        foundation = [other.task for other in foundation_of(skill)]
        losses[skill.name] = train(model, skill.task, skill.steps, skill.peak_rate, 10 + number, foundation)
        folders[skill.name] = folder / skill.name
        model.save_pretrained(str(folders[skill.name]))
        with_foundation[skill.name] = model.merge_and_unload()
        tell(f"{skill.name}: loss {losses[skill.name].before:.2f} → {losses[skill.name].after:.3f}")
    return Story(folders, losses)
