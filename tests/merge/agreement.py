"""What planner and brute force say of one question, in one form."""

from random import Random

from app.domain.lineage import LineageVersion
from app.errors import PinContradictsLayer, RefusedPlan
from app.merge.publication import check_version
from app.merge.resolution import check_referable
from tests.merge.brute_force import BruteForce, Verdict
from tests.merge.random_worlds import Question, aliases, random_question


def planner_verdict(question: Question) -> Verdict:
    world = question.world
    try:
        resolution = world.resolve(
            *question.layers,
            pins=question.pins,
            linear=question.linear,
            overlaps=question.overlaps,
            ancestors=question.ancestors,
            aliases=aliases,
        )
    except (RefusedPlan, PinContradictsLayer) as refusal:
        hidden = tuple((entry["layer"], entry["count"]) for entry in refusal.facts.get("hidden", ()))
        return Verdict(refusal.kebab_name(), hidden=hidden)
    try:
        check_referable(resolution, world.catalogue)
        is_referable = True
    except RefusedPlan:
        is_referable = False
    return Verdict(
        trunk=tuple((member.content_digest, member.weight) for member in resolution.trunk),
        covered=tuple(member.content_digest for member in resolution.covered),
        substitutions=tuple(
            sorted(
                (child, entry.replaced, entry.replacement)
                for entry in resolution.substitutions
                for child in entry.because
            )
        ),
        warnings=tuple(sorted(warning.name for warning in resolution.warnings)),
        is_referable=is_referable,
    )


def brute_verdict(question: Question) -> Verdict:
    world = question.world
    brute = BruteForce(
        world.catalogue,
        [(world.id(reference), weight) for reference, weight in question.layers],
        {world.versions[pin].repository: world.id(pin) for pin in question.pins},
        aliases,
    )
    return brute.decide(linear=question.linear, overlaps=question.overlaps.value, ancestors=question.ancestors.value)


def publication_verdicts(question: Question, version: LineageVersion) -> tuple[str | None, str | None]:
    """Of planner and brute force, for the version's own plan."""
    catalogue = question.world.catalogue
    try:
        check_version(version, catalogue, aliases)
        planned = None
    except RefusedPlan as refusal:
        planned = refusal.kebab_name()
    brute = BruteForce(catalogue, [(version.id, 1.0)], {}, aliases)
    return planned, brute.decide(linear=True, overlaps="refuse", ancestors="refuse", own_plan=True).refusal


def disagreement(seed: int) -> str | None:
    """What the two say of a random question, where they differ."""
    question = random_question(Random(seed))
    planned, brute = planner_verdict(question), brute_verdict(question)
    if planned != brute:
        return f"seed {seed}: planner {planned}, brute force {brute}"
    version = list(question.world.catalogue.values())[-1]
    own, brute_own = publication_verdicts(question, version)
    if own != brute_own:
        return f"seed {seed}, own plan of {version.reference}: planner {own}, brute force {brute_own}"
    return None
