"""Settings decide a trial's name, all of them, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from benchmarks.sweep.choice import Choice
from benchmarks.sweep.trial import Trial, trial_of
from benchmarks.training import recipes
from benchmarks.training.recipes import Recipe

TRIAL = Trial(
    measure="accuracy", dataset="mnist", network="lenet_300_100", recipe=Recipe(epochs=4, drops=(1.0, 2.5)),
    method="snip", density=0.1, examples=10, prune_epoch=1.5, rewind_epoch=0.5,
)  # fmt: skip


def test_settings_survive_json_and_give_the_trial_back() -> None:
    again = trial_of(json.loads(json.dumps(TRIAL.settings)))
    assert again == TRIAL
    assert again.name == TRIAL.name
    assert len(TRIAL.name) == 16
    assert int(TRIAL.name, 16) >= 0


def test_every_setting_changes_the_name() -> None:
    def other(value: object) -> object:
        if isinstance(value, bool):
            return not value
        return value + 1 if isinstance(value, (int, float)) else (7.0,) if isinstance(value, tuple) else f"{value}!"

    trials = [replace(TRIAL, **{f.name: other(getattr(TRIAL, f.name))}) for f in fields(Trial) if f.name != "recipe"]
    for field in fields(Recipe):
        changed = replace(TRIAL.recipe, **{field.name: other(getattr(TRIAL.recipe, field.name))})
        trials.append(replace(TRIAL, recipe=changed))
    assert len({TRIAL.name, *(trial.name for trial in trials)}) == len(trials) + 1


def test_trials_without_pruning_are_one_whatever_the_method() -> None:
    whole = [replace(TRIAL, density=1.0, method=method).canonical() for method in ("snip", "synflow", "random")]
    assert len({trial.name for trial in whole}) == 1
    assert whole[0].prune_epoch == 0
    assert replace(TRIAL, seed=1, density=1.0).canonical().name != whole[0].name


def test_training_does_not_change_trials_that_do_not_train() -> None:
    masks = replace(TRIAL, measure="masks", prune_epoch=0.0)
    longer = replace(masks, recipe=Recipe(epochs=99, rate=7))
    assert masks.canonical().name == longer.canonical().name
    other = replace(masks, recipe=replace(TRIAL.recipe, initialisation="fan_out"))
    assert masks.canonical().name != other.canonical().name
    after = replace(masks, prune_epoch=1.0)
    assert after.canonical() == after


def test_a_schedule_is_a_setting_of_what_iterates_and_older_trials_keep_their_names() -> None:
    often = replace(TRIAL, iterations=5)
    assert "pruning_schedule" not in often.settings
    assert often.settings.keys() == {f.name for f in fields(Trial)} - {"pruning_schedule"} | {"version"}
    plain = Trial(measure="masks", dataset="digits", network="vgg_small", recipe=Recipe(epochs=0), method="snip")
    assert plain.settings["rewind_epoch"] is None  # as in results of before
    assert plain.name == "68e1f05cd8deb347"
    linear = replace(often, pruning_schedule="linear").canonical()
    assert linear.settings["pruning_schedule"] == "linear"
    assert linear.name != often.name
    assert "5 iterations, linear" in str(linear)
    assert trial_of(linear.settings) == linear
    assert replace(TRIAL, pruning_schedule="linear").canonical() == TRIAL.canonical()  # one iteration has no schedule


def test_shrinking_is_a_setting_where_a_pruned_network_is_trained() -> None:
    shrunk = replace(TRIAL, recipe=replace(TRIAL.recipe, shrink=True))
    assert shrunk.canonical() == shrunk
    assert shrunk.name != TRIAL.name
    assert trial_of(json.loads(json.dumps(shrunk.settings))) == shrunk
    for settings in ({"density": 1.0}, {"measure": "masks"}, {"measure": "magnitudes"}):
        alike: list[Trial] = [replace(trial, **settings).canonical() for trial in (TRIAL, shrunk)]  # type: ignore[arg-type]
        assert alike[0].name == alike[1].name


def test_schedules_scale_in_proportion() -> None:
    recipe = recipes.frankle("cifar10", "resnet20")
    assert (recipe.epochs, recipe.batch, recipe.rate, recipe.drops) == (160, 128, 0.1, (80, 120))
    short = recipe.scaled(0.05)
    assert (short.epochs, short.drops) == (8, (4, 6))
    assert [round(short.rate_after(e), 9) for e in (0, 3.99, 4, 5.9, 6, 8)] == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert recipe.scaled(1e-6).epochs == 1


def test_a_cosine_after_a_warm_up() -> None:
    recipe = recipes.transformer(100).scaled(0.2)
    assert (recipe.epochs, recipe.warmup, recipe.optimizer, recipe.initialisation) == (20, 1.0, "adamw", "own")
    rates = [recipe.rate_after(e) for e in (0, 0.5, 1, 10.5, 20)]
    assert rates == pytest.approx([0, 5e-4, 1e-3, 5e-4, 0], abs=1e-12)
    assert str(recipe) == "20 epochs of AdamW, batch 128, rate 0.001 (cosine), warm-up 1, decay 0.05"


def test_other_epochs_come_with_their_share_of_the_drops_and_the_warm_up() -> None:
    adjusted = Choice(recipe={"epochs": 2}).adjusted(recipes.transformer(100))
    assert (adjusted.epochs, adjusted.warmup) == (2, 0.1)
    assert Choice(recipe={"epochs": 2, "warmup": 1.0}).adjusted(recipes.transformer(100)).warmup == 1
    assert Choice(recipe={"epochs": 4}).adjusted(recipes.frankle("cifar10", "resnet20")).drops == (2, 3)


def test_trials_that_came_before_a_field_keep_their_names() -> None:
    assert not {"optimizer", "schedule", "warmup", "shrink"} & {*TRIAL.settings["recipe"]}
    modern = replace(TRIAL, recipe=recipes.transformer())
    assert {"optimizer", "schedule", "warmup"} < {*modern.settings["recipe"]}
    assert trial_of(json.loads(json.dumps(modern.settings))) == modern
    own = replace(modern, network="resnet20", recipe=replace(modern.recipe, gamma="one"))
    assert own.canonical().recipe.gamma == "uniform"  # which nothing reads


@pytest.mark.parametrize(
    ("dataset", "network", "trained", "starts"),
    [  # the commands of figure 6 in the authors' repository, and its ``Models``
        ("cifar10", "vgg16_bn", (160, 128, 0.1, 0.1, (60, 120), 1e-4), "fan_in"),
        ("cifar100", "vgg11_bn", (160, 128, 0.1, 0.1, (60, 120), 1e-4), "fan_in"),
        ("cifar100", "resnet18", (160, 128, 0.01, 0.2, (60, 120), 5e-4), "fan_out_convolutions"),
        ("cifar10", "wide_resnet18", (160, 128, 0.01, 0.2, (60, 120), 5e-4), "fan_out_convolutions"),
        ("tinyimagenet", "resnet18", (100, 128, 0.01, 0.2, (30, 60, 80), 1e-4), "fan_out_convolutions"),
        ("tinyimagenet", "vgg11_bn", (100, 128, 0.01, 0.2, (30, 60, 80), 1e-4), "fan_out_small_linear"),
    ],
)
def test_the_recipes_of_the_synflow_paper(dataset: str, network: str, trained: tuple[object, ...], starts: str) -> None:
    r = recipes.synflow(dataset, network)
    assert (r.epochs, r.batch, r.rate, r.drop_factor, r.drops, r.decay) == trained
    assert (r.momentum, r.nesterov, r.gamma, r.initialisation) == (0.9, True, "one", starts)


def test_initialisations_that_no_panel_of_figure_6_has() -> None:
    """The lottery ResNets and VGG-19 for ImageNet, as the authors' ``Models`` have them."""
    pairs = (("cifar10", "resnet20"), ("imagenet", "vgg19_bn"), ("imagenet", "torchvision_resnet50"))
    found = [recipes.synflow(*pair).initialisation for pair in pairs]
    assert found == ["fan_in", "fan_out_small_linear", "fan_out_convolutions"]


def test_figure_5_has_schedules_of_its_own() -> None:
    cycle = recipes.synflow_cycles("cifar10", "vgg11_bn")
    assert (cycle.epochs, cycle.rate, cycle.drops, cycle.decay, cycle.initialisation) == (50, 0.01, (), 1e-4, "fan_in")
    long = recipes.synflow_squares("cifar10", "vgg19")
    assert (long.epochs, long.rate, long.drops, long.initialisation) == (100, 1e-3, (30, 60, 80), "xavier")


@pytest.mark.parametrize(
    ("dataset", "network", "expected"),
    [  # Frankle et al. 2021, appendix A.3
        ("mnist", "lenet_300_100", (40, 128, 0.0, 0.1, (), 0.0)),
        ("cifar10", "resnet20", (160, 128, 0.9, 0.1, (80, 120), 1e-4)),
        ("cifar10", "vgg16_bn", (160, 128, 0.9, 0.1, (80, 120), 1e-4)),
        ("tinyimagenet", "torchvision_resnet18", (200, 256, 0.9, 0.2, (100, 150), 1e-4)),
        ("tinyimagenet", "resnet18", (200, 256, 0.9, 0.2, (100, 150), 1e-4)),
        ("imagenet", "torchvision_resnet50", (90, 1024, 0.9, 0.4, (30, 60, 80), 1e-4)),
    ],
)
def test_the_recipes_of_frankle_et_al(dataset: str, network: str, expected: tuple[object, ...]) -> None:
    r = recipes.frankle(dataset, network)
    assert (r.epochs, r.batch, r.momentum, r.rate, r.drops, r.decay) == expected
    assert (r.drop_factor, r.initialisation, r.gamma, r.nesterov) == (0.1, "fan_in", "uniform", False)


def test_a_caption_says_how_was_trained() -> None:
    recipe = recipes.synflow("cifar10", "resnet20").scaled(4 / 160)
    caption = "4 epochs of SGD, batch 128, rate 0.1 (x 0.1 at 1.5, 3), Nesterov momentum 0.9, decay 0.0001"
    assert str(recipe) == caption
    assert str(replace(recipe, precision="bfloat16")) == f"{caption}, bfloat16"
