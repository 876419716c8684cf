"""Reads what a run reported back with the real TensorBoard and MLflow's own client.

    python tests/interop/check_tracking.py RUN_FOLDER [TRACKING_URI EXPERIMENT]

RUN_FOLDER is a run that reported to TensorBoard in its own folder, and to MLflow where an address
is given; every number is compared with the run's other files.
"""

import json
import math
import sys
from pathlib import Path

import yaml


def read_run(run):
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    epochs = [h for h in history if h["stage"] == "validation"][:-1]
    finals = yaml.safe_load((run / "metrics.yaml").read_text())
    return epochs, finals


def numbers(metrics):
    return {k: v for k, v in metrics.items()
            if isinstance(v, (int, float)) and k not in ("epoch", "step")}


def check_tensorboard(run):
    from tensorboard.backend.event_processing import event_file_loader
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import metadata

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
    epochs, finals = read_run(run)
    n = 0
    for name in numbers(epochs[0]):
        expected = [(e["step"], e[name]) for e in epochs]
        got = scalars[f"eval/{name}"]
        assert [s for s, _ in got] == [s for s, _ in expected]
        assert all(math.isclose(a, b, rel_tol=1e-6) for (_, a), (_, b) in zip(got, expected))
        n += len(got)
    for stage, metrics in finals.items():
        for name, value in numbers(metrics).items():
            (_, got), = scalars[f"best_model/{stage}_{name}"]
            assert math.isclose(got, value, rel_tol=1e-6), (stage, name)
            n += 1
    for name in ("loss", "learning_rate", "grad_norm", "epoch"):
        assert len(scalars[f"train/{name}"]) > 1
        n += len(scalars[f"train/{name}"])
    assert tags["images"] == ["data_map"]
    image, = events.Images("data_map")
    assert image.encoded_image_string == (run / "data_map.png").read_bytes()
    text, = events.Tensors("config")
    text = text.tensor_proto.string_val[0].decode()
    assert yaml.safe_load(text) == yaml.safe_load((run / "config.resolved.yaml").read_text())
    multiplexer = EventMultiplexer().AddRun(str(run / "tensorboard"), "run")
    multiplexer.Reload()
    content = multiplexer.PluginRunToTagToContent("hparams")["run"][metadata.SESSION_START_INFO_TAG]
    start = metadata.parse_session_start_info_plugin_data(content)
    assert start.hparams["random_state"].number_value > 0
    print(f"TensorBoard: {n} numbers in {len(scalars)} curves, picture, config, "
          f"{len(start.hparams)} hyperparameters")


def check_mlflow(run, uri, experiment):
    import mlflow
    from mlflow.tracking import MlflowClient

    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found.tags["version"] == "v1", found.tags
    runs = client.search_runs([found.experiment_id])
    reported = next(r for r in runs if Path(r.data.tags["enginora_rs.run"]).name == run.name
                    and Path(r.data.tags["enginora_rs.run"]).parts[-3] == run.parts[-3])
    assert reported.info.status == "FINISHED", reported.info.status
    config = yaml.safe_load((run / "config.resolved.yaml").read_text())
    for key, value in (("training.learning_rate", config["training"]["learning_rate"]),
                       ("metrics.0.name", config["metrics"][0]["name"]),
                       ("model.scratch.vocab_size", config["model"]["scratch"]["vocab_size"])):
        assert reported.data.params[key] == str(value), (key, reported.data.params[key])
    epochs, finals = read_run(run)
    history = lambda name: [(m.step, m.value) for m in
                            client.get_metric_history(reported.info.run_id, name)]
    n = 0
    for name in numbers(epochs[0]):
        assert sorted(history(f"eval_{name}")) == [(e["step"], e[name]) for e in epochs], name
        n += len(epochs)
    for stage, metrics in finals.items():
        for name, value in numbers(metrics).items():
            assert reported.data.metrics[f"{stage}_{name}"] == value, (stage, name)
            n += 1
    for name in ("loss", "learning_rate", "grad_norm", "epoch"):
        assert len(history(name)) > 1
        n += len(history(name))
    names = {a.path for a in client.list_artifacts(reported.info.run_id)}
    for name in ("config.resolved.yaml", "metrics.yaml", "data_map.png", "data_map.svg", "best_model"):
        assert name in names, names
        local = Path(client.download_artifacts(reported.info.run_id, name))
        files = [p for p in local.rglob("*") if p.is_file()] if local.is_dir() else [local]
        for file in files:
            own = run / name / file.relative_to(local) if local.is_dir() else run / name
            assert file.read_bytes() == own.read_bytes(), file
    print(f"MLflow: run `{reported.info.run_name}`, {len(reported.data.params)} params, {n} numbers, "
          f"files {sorted(names)}")


if __name__ == "__main__":
    run = Path(sys.argv[1]).resolve()
    check_tensorboard(run)
    if len(sys.argv) > 2:
        check_mlflow(run, sys.argv[2], sys.argv[3])
