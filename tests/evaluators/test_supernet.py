"""A supernet's networks are what they would be alone, whatever happens to its training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from filelock import FileLock  # noqa: E402

from evaluators import datasets  # noqa: E402
from evaluators.datasets import Dataset  # noqa: E402
from evaluators.quantization import QuantizedNetwork  # noqa: E402
from evaluators.supernet import Supernet, kept  # noqa: E402
from evaluators.supernet.learning import Batches, recalibrate  # noqa: E402
from evaluators.supernet.sandwich import Layout, Recipe, Sandwich  # noqa: E402
from evaluators.supernet.sharing import Shapes, SharedWeights, Subnet, named  # noqa: E402
from evaluators.torch_threads import one_thread  # noqa: E402
from hwnas import BitsPerCell, Designs, SkipNet, SystolicArray  # noqa: E402
from hwnas.design import MBConv, SearchedTraining  # noqa: E402
from hwnas.errors import DesignError, ProblemError  # noqa: E402
from hwnas.evaluation import Timeout  # noqa: E402
from hwnas.metrics import Reason  # noqa: E402
from hwnas.testing import EvaluatorSubject, evaluator_checks  # noqa: E402

FAMILY = MBConv(
    channels_per_stage=(3, 4), strides=(2, 1), depths=(1, 2), widths=(1, 2), stem=3, head=6,
    expansions=(1, 2), image=6, classes=3,
)  # fmt: skip
BITS = BitsPerCell(cells=2, weight_bits=(2, 8), activation_bits=(3, 8), cells_gene="")
SPACE = FAMILY.space() + BITS.space()
LAYOUT = Layout.of(SPACE)
RECIPE = Recipe(steps=6, batch_size=8, learning_rate=0.02, weight_decay=1e-4, networks=1, seed=3)


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def some_dataset(name="three stripes"):
    """Stripes in three directions, one bright."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = 0.3 * rng.random((60, 1, 6, 6))
    for image, label in zip(images, labels, strict=True):
        image[0, :, 2 * label : 2 * label + 2] += 0.6
    return Dataset.of(name, (images[:42], labels[:42]), (images[42:], labels[42:]), noise=0.05)


DATASET = some_dataset()


def drawn(n, space=SPACE, seed=0):
    return Designs(space, space.sample(n, np.random.default_rng(seed)))


def shared(layout=LAYOUT):
    return SharedWeights(layout.shapes, torch.Generator().manual_seed(1))


def images(n=5):
    return torch.from_numpy(DATASET.train_images[:n])


def by_hand(graph, arrays):
    """A network of its own, its weights cut out of the shared ones one number at a time."""
    network = QuantizedNetwork(graph, torch.Generator().manual_seed(7))
    for (layer, name), parameter in named(network, graph):
        whole = arrays.arrays["/".join((layer, name)).replace(".", "_")]
        values = parameter.data
        margin = (whole.shape[-1] - values.shape[-1]) // 2 if values.dim() > 2 else 0
        for place in np.ndindex(tuple(values.shape)):
            values[place] = whole[(*place[:2], *(p + margin for p in place[2:]))].item()
    return network


def test_a_subnet_computes_what_a_network_with_its_slice_of_the_weights_computes():
    arrays = shared()
    for design in drawn(6):
        alone = by_hand(design.graph, arrays)
        part = Subnet(design.graph, arrays).extracted()
        for mode in (True, False):
            alone.train(mode)
            part.train(mode)
            with torch.no_grad():
                assert torch.equal(alone(images()), part(images()))


def test_the_largest_network_is_all_of_the_weights_of_blocks_that_widen():
    arrays = shared()
    largest = Designs(SPACE, LAYOUT.extremes)[0]
    network = Subnet(largest.graph, arrays).network
    taken = {"/".join(key).replace(".", "_"): p for key, p in named(network, largest.graph)}
    assert taken.keys() == {name for name in arrays.arrays if "narrow" not in name}
    for name, parameter in taken.items():
        assert torch.equal(arrays.arrays[name], parameter)
    assert largest.config["net.stage1.depth"] == 2
    assert largest.config["quant.cell1.weight_bits"] == 8
    smallest = Designs(SPACE, LAYOUT.extremes)[1].config
    assert smallest["net.stage2.width"] == smallest["net.stage2.block1.expansion"] == 1
    assert smallest["quant.cell2.weight_bits"] == 2


def test_first_weights_are_smaller_where_only_their_direction_counts():
    """Batch normalisation undoes the scale of what it follows; the classifier's stays."""
    shapes = LAYOUT.shapes
    draws = [SharedWeights(shapes, torch.Generator().manual_seed(seed)) for seed in range(40)]
    for name, size in (("head/weight", 0.25), ("classifier/weight", 1.0)):
        drawn = torch.stack([shared.arrays[name] for shared in draws])
        usual = (2 / drawn[0, 0].numel()) ** 0.5  # He et al., ICCV 2015: sqrt(2 / fan-in)
        assert drawn.std().item() == pytest.approx(size * usual, rel=0.1)


def test_gradients_go_where_the_weights_came_from():
    """A shared weight that a network does not take has no gradient; the others have its own."""
    arrays = shared()
    graph = drawn(3)[2].graph
    subnet, alone = Subnet(graph, arrays), by_hand(graph, arrays)
    for network in (subnet.network, alone):
        network.train()
        network(images()).square().sum().backward()
    subnet.give_gradients()
    own = {"/".join(key).replace(".", "_"): p.grad for key, p in named(alone, graph)}
    for name, array in arrays.arrays.items():
        if name not in own:
            assert array.grad is None
            continue
        assert torch.isclose(array.grad.abs().sum(), own[name].abs().sum(), rtol=1e-5)
        start = (array.shape[-1] - own[name].shape[-1]) // 2 if array.dim() > 2 else 0
        corner = [slice(0, size) for size in own[name].shape]
        if array.dim() > 2:
            corner[2:] = [slice(start, start + own[name].shape[-1])] * 2
        assert torch.allclose(array.grad[tuple(corner)], own[name], rtol=1e-4, atol=1e-6)


def test_concatenated_channels_keep_their_weights_when_the_trunk_is_narrower():
    """Of skipnet: the weights of a borrowed channel stay behind all that the trunk may have."""
    family = SkipNet(
        cells=(1,), layers_per_cell=(3,), widths=(1, 2), skip_channels=(4,), skips=("concat",)
    )
    space = family.space()
    layout = Layout.of(space)
    designs = Designs(space, space.rows())
    for design in designs:
        graph = design.graph
        last = next(layer for layer in graph.layers if layer.name == "cell1.layer3")
        width = 4 * design.config["net.width"]
        taken = layout.shapes.inputs(graph, last)
        borrowed = [c for source in last.sources[1:] for c in source.channels]
        assert taken == [*range(width), *(8 + c for c in borrowed)]
        assert Subnet(graph, shared(layout)).network(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_every_network_of_a_large_space_has_a_place():
    for family in (MBConv(), SkipNet(cells=(1, 2), widths=(1, 3))):
        layout = Layout.of(family.space())
        arrays = shared(layout)
        for design in drawn(10, family.space(), seed=5):
            Subnet(design.graph, arrays)


def test_networks_of_another_family_have_no_place():
    wider = MBConv(**{**FAMILY.options(), "widths": (1, 3)}).space()
    with pytest.raises(DesignError, match="no place"):
        Subnet(Designs(wider, Layout.of(wider).extremes)[0].graph, shared())
    with pytest.raises(DesignError, match="no place"):
        Subnet(drawn(1, SkipNet().space())[0].graph, shared())


def test_one_name_for_different_kinds_of_layers_is_refused():
    graphs = [Designs(SPACE, LAYOUT.extremes)[0].graph, drawn(1, SkipNet().space())[0].graph]
    *others, last = graphs[1].layers
    graphs[1] = replace(graphs[1], layers=(*others, replace(last, name="stem")))
    with pytest.raises(DesignError, match="cannot share"):
        Shapes.of(graphs)


def test_recalibrated_statistics_are_those_of_the_images():
    """The running mean of the first normalisation, against the mean over all batches by hand."""
    network = Subnet(drawn(1)[0].graph, shared()).extracted()
    batches = Batches(DATASET, 8, seed=0)
    recalibrate(network, batches, 40)
    stem = network.computations[0]
    shown = list(batches.calibration(40))
    assert sum(map(len, shown)) == 40
    expected = torch.stack([stem._compute(stem.rounded(x)).mean((0, 2, 3)) for x in shown]).mean(0)
    assert torch.allclose(stem.normalised.running_mean, expected, atol=1e-6)
    assert not network.training
    before = [buffer.clone() for buffer in network.buffers()]
    with torch.no_grad():
        network(images())
    assert all(map(torch.equal, before, network.buffers()))


def test_a_step_shows_every_image_once_before_any_comes_again():
    batches = Batches(some_dataset(), 7, seed=1)
    labels = [batches[step][1] for step in range(6)]
    assert torch.bincount(torch.cat(labels)).tolist() == [14, 14, 14]
    assert torch.equal(batches[3][0], Batches(some_dataset(), 7, seed=1)[3][0])
    assert not torch.equal(batches[3][0], Batches(some_dataset(), 7, seed=2)[3][0])


def test_learning_lowers_the_loss_of_all_sizes():
    sandwich = Sandwich(LAYOUT, DATASET, Recipe(15, 16, 0.03, 1e-4, 0, 0))
    designs = Designs(SPACE, LAYOUT.extremes)

    def losses():
        answers = []
        for design in designs:
            network = Subnet(design.graph, sandwich.shared).extracted()
            recalibrate(network, sandwich.batches, 42)
            scores = network(torch.from_numpy(DATASET.test_images))
            labels = torch.from_numpy(DATASET.test_labels)
            answers.append(torch.nn.functional.cross_entropy(scores, labels).item())
        return np.array(answers)

    before = losses()
    while not sandwich.is_finished:
        sandwich.advance()
    largest, smallest = losses() / before
    assert largest < 0.5
    assert smallest < 0.95  # three channels of 2 bits, taught by the largest alone


def supernet(path, **options):
    usual = {"steps": 6, "batch_size": 8, "networks": 1, "calibration_images": 30}
    return Supernet(**{**usual, "path": path, "dataset": DATASET, **options})


@pytest.fixture
def often(monkeypatch):
    """Checkpoints after every second step."""
    monkeypatch.setattr(kept, "_EVERY", 2)


class Killed(Exception):
    pass


def test_a_killed_training_goes_on_to_the_very_same_weights(tmp_path, often, monkeypatch):
    file = supernet(tmp_path / "one").prepare(SPACE)
    step = Sandwich.advance

    def killed(sandwich):
        if sandwich.step == 5:
            raise Killed
        step(sandwich)

    with monkeypatch.context() as patch:
        patch.setattr(Sandwich, "advance", killed)
        with pytest.raises(Killed):
            supernet(tmp_path / "two").prepare(SPACE)
    steps = []
    monkeypatch.setattr(
        Sandwich, "advance", lambda sandwich: steps.append(sandwich.step) or step(sandwich)
    )
    resumed = supernet(tmp_path / "two").prepare(SPACE)
    assert steps == [4, 5]
    assert resumed.name == file.name
    weights = [torch.load(f, weights_only=True)["state"]["weights"] for f in (file, resumed)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_it_is_trained_once_for_all_studies(tmp_path, monkeypatch):
    designs = drawn(3)
    first = supernet(tmp_path).evaluate(designs)
    monkeypatch.setattr(Sandwich, "advance", lambda sandwich: pytest.fail("it is trained again"))
    second = supernet(tmp_path).evaluate(designs)
    joint = SPACE + SystolicArray().space()
    genomes = np.hstack([designs.genomes, np.zeros((3, len(joint) - len(SPACE)), dtype=np.int64)])
    third = supernet(tmp_path).evaluate(Designs(joint, genomes))
    assert first["error"].tolist() == second["error"].tolist() == third["error"].tolist()


def test_it_gets_ready_outside_of_a_time_limit_and_says_how_far_it_is(
    tmp_path, caplog, monkeypatch
):
    """Else every evaluation of a study would be stopped until the supernet is trained."""
    monkeypatch.setattr(kept, "_EVERY", 4)
    hurried = Timeout(supernet(tmp_path, steps=9), seconds=60.0)
    with caplog.at_level("INFO", logger="evaluators"):
        answer = hurried.evaluate(drawn(1))
    hurried.close()
    assert caplog.messages == [f"supernet: {step} of 9 steps" for step in (4, 8, 9)]
    assert answer["error"] == supernet(tmp_path, steps=9).evaluate(drawn(1))["error"]


def test_who_comes_second_waits_for_the_first_and_takes_its_supernet(tmp_path):
    file = supernet(tmp_path).prepare(SPACE)
    ready = file.read_bytes()
    file.unlink()
    with ThreadPoolExecutor() as pool:
        with FileLock(f"{file}.lock"):  # as if another process were training it
            second = pool.submit(supernet(tmp_path).prepare, SPACE)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)
            assert not file.exists()
            file.write_bytes(ready)
        assert second.result() == file
    assert file.read_bytes() == ready


def test_fine_tuning_and_seeds_change_the_answer_and_not_the_supernet(tmp_path):
    designs = drawn(3)
    plain = supernet(tmp_path)
    tuned = supernet(tmp_path, fine_tune_steps=8, fine_tune_rate=0.03, metric="tuned")
    answers = tuned.evaluate(designs)["tuned"]
    assert plain.prepare(SPACE) == tuned.prepare(SPACE)
    assert answers.mean() < plain.evaluate(designs)["error"].mean()
    assert plain.version != tuned.version
    assert supernet(tmp_path, seed=1, steps=1).prepare(SPACE) != plain.prepare(SPACE)


def test_the_checkpoint_of_another_space_is_refused_and_kept(tmp_path):
    file = tmp_path / "mine.pt"
    supernet(file).prepare(SPACE)
    before = file.read_bytes()
    deeper = MBConv(**{**FAMILY.options(), "depths": (1, 3)}).space() + BITS.space()
    with pytest.raises(ProblemError, match="another supernet") as error:
        supernet(file).evaluate(drawn(1, deeper))
    assert '"depths": [1, 2]' in error.value.given
    assert '"depths": [1, 3]' in error.value.given
    with pytest.raises(ProblemError, match="another supernet") as error:
        supernet(file, steps=7).prepare(SPACE)
    assert error.value.given == "steps: there 6, wanted 7"
    assert file.read_bytes() == before


def test_the_file_of_a_family_that_has_changed_since_is_refused_and_kept(tmp_path):
    file = supernet(tmp_path).prepare(SPACE)
    found = torch.load(file, weights_only=True)
    found["state"]["weights"].pop("arrays.stem/weight")
    torch.save(found, file)
    before = file.read_bytes()
    with pytest.raises(ProblemError, match="other layers"):
        supernet(tmp_path).prepare(SPACE)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no torch file", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_refused_and_kept(tmp_path, content):
    file = tmp_path / "mine.pt"
    file.write_bytes(content)
    with pytest.raises(ProblemError, match="damaged"):
        supernet(file).prepare(SPACE)
    assert file.read_bytes() == content


def test_a_pickle_is_not_unpickled(tmp_path):
    class Harmful:
        def __reduce__(self):
            return pytest.fail, ("it was run",)

    file = tmp_path / "mine.pt"
    torch.save({"identity": "{}", "state": Harmful()}, file)
    with pytest.raises(ProblemError, match="damaged"):
        supernet(file).prepare(SPACE)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProblemError, match="cannot be kept"):
        supernet(tmp_path / "file" / "folder").prepare(SPACE)


def test_a_training_that_diverges_is_refused_and_its_last_checkpoint_is_kept(
    tmp_path, often, monkeypatch
):
    measured = torch.nn.functional.cross_entropy
    calls = []

    def diverging(scores, labels):
        calls.append(1)
        return measured(scores, labels) * (float("nan") if len(calls) > 10 else 1.0)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", diverging)
    with pytest.raises(ProblemError, match="diverged: a loss of nan in step 4"):
        supernet(tmp_path / "mine.pt").evaluate(drawn(2))
    assert torch.load(tmp_path / "mine.pt", weights_only=True)["state"]["step"] == 2


def test_a_fine_tuning_that_diverges_is_infeasible(tmp_path):
    designs = drawn(2)
    supernet(tmp_path).prepare(SPACE)
    answer = supernet(tmp_path, fine_tune_steps=3, fine_tune_rate=1e38).evaluate(designs)
    assert not answer.feasible.any()
    assert (answer.reason == Reason.DIVERGED).all()


def test_networks_that_do_not_fit_the_data_are_refused_before_anything_is_trained(tmp_path):
    other = Dataset.of("smaller", *[(np.zeros((3, 4, 4)), np.arange(3))] * 2)
    with pytest.raises(ProblemError, match="do not fit"):
        supernet(tmp_path, dataset=other).evaluate(drawn(2)[:0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"networks": -1},
        {"calibration_images": 1},
        {"fine_tune_steps": -1},
        {"fine_tune_rate": float("nan")},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ProblemError, match=next(iter(options))):
        Supernet(**options)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    evaluator = supernet(tmp_path_factory.mktemp("supernets"), fine_tune_steps=1)
    others = SystolicArray(rows=(4, 8)).space() + SearchedTraining(resolution=(4, 6)).space()
    return EvaluatorSubject(evaluator, SPACE + others, rows=2)


@pytest.mark.parametrize("check", evaluator_checks(), ids=str)
def test_conformance(check, subject):
    check(subject)


def test_digits_are_what_it_learns_unless_told_otherwise():
    assert Supernet().dataset == "digits"
    assert datasets.load("digits").classes == MBConv().classes
