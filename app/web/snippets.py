"""How to use a version: commands and programs to copy, each complete, with this server's address and the version pinned."""

import json
import shlex
from dataclasses import dataclass
from urllib.parse import quote

from app.domain.adapter import Adapter
from app.domain.lineage import Kind, Relation
from app.domain.version import Version
from app.services.content import adapter_config, adapter_weights, model_config

auto_classes = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}
"""Of transformers, by PEFT's task type."""
vllm_ranks = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's --max-lora-rank may be; unless told it refuses ranks above 16."""
diffusers_weights = "pytorch_lora_weights.safetensors"
unet_parts = ("down_blocks.", "up_blocks.", "mid_block.")
transformer_parts = ("transformer_blocks.", "single_transformer_blocks.")
"""What the modules of the image models of diffusers are called."""
from_environment = 'os.environ["GLULAM_TOKEN"]'


@dataclass(frozen=True, slots=True)
class Snippet:
    name: str
    """Of the tool."""
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """What is used, and from where."""

    address: str
    """Of this server."""
    version: Version
    facts: Adapter | None
    """None: it is no adapter."""
    base_is_here: bool = False
    """Its base model can be had from this server, under its own name."""

    @property
    def repository(self) -> str:
        return self.version.repository

    @property
    def number(self) -> str:
        return str(self.version.number)

    @property
    def url(self) -> str:
        return f"{self.address}/api/v1/repositories/{self.repository}/versions/{self.number}"

    @property
    def folder(self) -> str:
        return "./" + self.repository.partition("/")[2]

    @property
    def merged(self) -> str:
        return f"{self.folder}-merged"

    @property
    def is_stacked(self) -> bool:
        """It was trained with another adapter applied, so that by itself it is not whole."""
        return any(parent.relation is Relation.BUILDS_ON for parent in self.version.parents)

    @property
    def base(self) -> str:
        return "the/base-model" if self.version.base_model is None else self.version.base_model.name

    def has_modules(self, parts: tuple[str, ...]) -> bool:
        return self.facts is not None and any(part in module.name for module in self.facts.modules for part in parts)

    @property
    def is_of_image_model(self) -> bool:
        return self.has_modules(unet_parts + transformer_parts)


def snippets_of(use: Use) -> tuple[Snippet, ...]:
    found = [glulam(use), curl(use), client(use)]
    if use.version.kind is Kind.MODEL:
        found += [transformers_model(use), vllm_model(use)]
    elif use.is_of_image_model:
        found.append(diffusers(use))
    else:
        found += [peft(use), transformers(use), vllm(use)]
    return (*found, hf(use))


def quoted(text: str) -> str:
    """A string as Python writes it."""
    return json.dumps(text, ensure_ascii=False)


def glulam(use: Use) -> Snippet:
    lines = [f"export GLULAM_URL={use.address}"]
    if not use.version.is_public or use.is_stacked:
        lines.append("glulam login   # once: it asks for a token")
    lines.append(f"glulam pull {use.version.reference} --to {use.folder}")
    note = "Brings every file here, verified by its sha256, and goes on where it was interrupted."
    if use.is_stacked:
        lines.append(f"glulam merge {use.version.reference} --to {use.merged}")
        note += " The last line brings it merged with all that it builds on: one adapter for the bare base model."
    return Snippet("glulam", "\n".join(lines), note)


def curl(use: Use) -> Snippet:
    paths = [model_config] if use.version.kind is Kind.MODEL else [adapter_config, adapter_weights]
    token = "" if use.version.is_public else ' -H "Authorization: Bearer $GLULAM_TOKEN"'
    lines = [f"curl -fLO{token} {use.url}/files/{quote(path)}" for path in paths]
    lines.append(f"curl -fL{token} {use.url}/archive.tar | tar x   # or all files at once, in a folder")
    return Snippet("curl", "\n".join(lines))


def program(imports: list[str], lines: list[str]) -> str:
    """What is imported, in the usual order, and what is done."""
    standard = ["import os", ""] if any("os.environ" in line for line in lines) else []
    return "\n".join([*standard, *sorted(imports), "", *lines])


def opened(use: Use, *, to_merge: bool = False) -> str:
    """The registry, as a program opens it."""
    token = "" if use.version.is_public and not to_merge else f", token={from_environment}"
    return f"registry = Registry({quoted(use.address)}{token})"


def merged(use: Use) -> list[str]:
    return [
        f"merge = registry.merge([{quoted(use.version.reference)}]).wait()",
        f"folder = merge.download({quoted(use.merged)})",
    ]


def client(use: Use) -> Snippet:
    lines = [
        opened(use, to_merge=use.is_stacked),
        f"folder = registry.pull({quoted(use.version.reference)}, to={quoted(use.folder)})",
    ]
    if use.is_stacked:
        lines += ["", "# or merged with all that it builds on: one adapter for the bare base model", *merged(use)]
    return Snippet("Python", program(["from glulam import Registry"], lines))


@dataclass(frozen=True, slots=True)
class Loading:
    """A part of a program, and what is to be known of it."""

    imports: list[str]
    lines: list[str]
    note: str = ""


def fetched(use: Use) -> Loading:
    """How a folder comes here that a library can load."""
    if use.is_stacked:
        note = "This adapter was trained on top of others: here it comes merged with them, as the bare base model needs it."
        return Loading(["from glulam import Registry"], [opened(use, to_merge=True), *merged(use)], note)
    token = "" if use.version.is_public else f", token={from_environment}"
    pinned = f"{quoted(use.repository)}, revision={quoted(use.number)}, endpoint={quoted(use.address)}"
    return Loading(["from huggingface_hub import snapshot_download"], [f"folder = snapshot_download({pinned}{token})"])


def loaded_base(use: Use) -> Loading:
    """How a program loads the base model, and where it comes from."""
    task = None if use.facts is None else use.facts.task_type
    auto = auto_classes.get(task or "", "AutoModelForCausalLM")
    origin = "The base model comes from where you always get it."
    if use.base_is_here:
        origin = f"The base model is in this registry, too: with HF_ENDPOINT={use.address} it comes from here."
    return Loading([f"from transformers import {auto}"], [f"base = {auto}.from_pretrained({quoted(use.base)})"], origin)


def noted(*notes: str) -> str:
    return " ".join(note for note in notes if note)


def peft(use: Use) -> Snippet:
    adapter, base = fetched(use), loaded_base(use)
    imports = [*adapter.imports, *base.imports, "from peft import PeftModel"]
    lines = [*adapter.lines, *base.lines, "model = PeftModel.from_pretrained(base, folder)"]
    return Snippet("PEFT", program(imports, lines), noted(adapter.note, base.note))


def transformers(use: Use) -> Snippet:
    adapter, base = fetched(use), loaded_base(use)
    lines = [*adapter.lines, *base.lines, "base.load_adapter(str(folder))"]
    note = noted(adapter.note, base.note, "PEFT has to be installed beside it.")
    return Snippet("transformers", program([*adapter.imports, *base.imports], lines), note)


def diffusers(use: Use) -> Snippet:
    adapter = fetched(use)
    imports = [*adapter.imports, "from diffusers import DiffusionPipeline"]
    lines = [*adapter.lines, f"pipeline = DiffusionPipeline.from_pretrained({quoted(use.base)})"]
    if not use.is_stacked and any(file.path == diffusers_weights for file in use.version.files):
        lines.append(f"pipeline.load_lora_weights(folder, weight_name={quoted(diffusers_weights)})")
    else:
        part = "unet" if use.has_modules(unet_parts) else "transformer"
        imports.append("from peft import PeftModel")
        lines.append(f"pipeline.{part} = PeftModel.from_pretrained(pipeline.{part}, folder)")
    return Snippet("diffusers", program(imports, lines), adapter.note)


def vllm(use: Use) -> Snippet:
    name = use.folder.removeprefix("./")
    rank = next((rank for rank in vllm_ranks if rank >= use.version.summary["rank"]), vllm_ranks[-1])
    folder, note = use.folder, "The folder is this version for as long as it is served."
    lines = [*environment(use), downloaded(use)]
    if use.is_stacked:
        folder, note = (
            use.merged,
            "The rank of the merge is the sum of what is in it: --max-lora-rank must not be below.",
        )
        lines = [f"glulam merge {use.version.reference} --url {use.address} --to {use.merged}"]
    lines.append(
        f"vllm serve {shlex.quote(use.base)} --enable-lora --max-lora-rank {rank} --lora-modules {name}={folder}"
    )
    beyond = ", ".join(use.version.summary["features"])
    return Snippet(
        "vLLM",
        "\n".join(lines),
        noted(note, f"Beyond plain LoRA it has {beyond}: vLLM may refuse that." * bool(beyond)),
    )


def transformers_model(use: Use) -> Snippet:
    token = [] if use.version.is_public else [f'os.environ["HF_TOKEN"] = {from_environment}']
    lines = [
        "import os",
        "",
        f'os.environ["HF_ENDPOINT"] = {quoted(use.address)}   # before the import, which reads it once',
        *token,
        "",
        "from transformers import AutoModelForCausalLM",
        "",
        f"model = AutoModelForCausalLM.from_pretrained({quoted(use.repository)}, revision={quoted(use.number)})",
    ]
    return Snippet("transformers", "\n".join(lines))


def vllm_model(use: Use) -> Snippet:
    return Snippet("vLLM", "\n".join([*environment(use), f"vllm serve {use.repository} --revision {use.number}"]))


def environment(use: Use) -> list[str]:
    """What turns the clients of the Hub to this server."""
    endpoint = f"export HF_ENDPOINT={use.address}"
    return [endpoint] if use.version.is_public else [endpoint, "export HF_TOKEN=$GLULAM_TOKEN"]


def downloaded(use: Use) -> str:
    return f"hf download {use.repository} --revision {use.number} --local-dir {use.folder}"


def hf(use: Use) -> Snippet:
    note = "HF_ENDPOINT turns every client of the Hub to this registry."
    return Snippet("hf", "\n".join([*environment(use), downloaded(use)]), note)
