import copy, math, os
import pyarrow as pa, pyarrow.parquet as pq, torch
from transformers import TrainerCallback

class TrainingDynamics(TrainerCallback):
    """Writes the logits of every training example at each epoch's end."""

    def __init__(self, trainer, folder, guids=None):
        self.trainer, self.folder, self.guids = trainer, folder, guids

    def on_epoch_end(self, args, state, control, **kwargs):
        output = self.predict_in_order(self.trainer.train_dataset)
        if not state.is_world_process_zero:
            return
        logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
        guids = self.guids or range(len(logits))
        table = pa.table({
            "index": pa.array(range(len(logits)), pa.uint32()),
            "guid": pa.array([str(guid) for guid in guids], pa.string()),
            "gold": pa.array(output.label_ids.tolist(), pa.uint32()),
            "logits": pa.array(logits.tolist(), pa.list_(pa.float32())),
        })
        epoch = math.ceil(state.epoch - 1e-6) - 1  # one that max_steps cuts short counts, too
        path = os.path.join(self.folder, f"epoch={epoch}", "part-0.parquet")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        pq.write_table(table, path + ".tmp")
        os.replace(path + ".tmp", path)

    def predict_in_order(self, dataset):
        args = self.trainer.args  # whose grouping by length would reorder the predictions
        self.trainer.args = copy.copy(args)
        self.trainer.args.train_sampling_strategy, self.trainer.args.group_by_length = "random", False
        try:  # a data loader draws from torch's generator, and training must not notice
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                return self.trainer.predict(dataset)
        finally:
            self.trainer.args = args
