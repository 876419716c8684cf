#!/usr/bin/env python3
"""What enginora-rs is compared with: ways to fine-tune a text classifier with PyTorch.

    python tests/bench/peers.py trainer         --model FOLDER --data FILE [options]
    python tests/bench/peers.py trainer-grouped --model FOLDER --data FILE [options]
    python tests/bench/peers.py loop            --model FOLDER --data FILE [options]
                                                [--precision bf16|f32] [--attention sdpa|eager]
                                                [--compile] [--forward]
    python tests/bench/peers.py peak [--device cpu|cuda]
    python tests/bench/peers.py make-base --tokenizer FOLDER --model FOLDER
    python tests/bench/peers.py join      --tokenizer FOLDER --data FILE --output FILE [options]

Trainers have --device cpu|cuda and trainer-grouped has --precision bf16|f32, too (on the CPU f32).
Every trainer keeps the logits of every training example of every epoch, as enginora-rs does. The
last line on standard output is a JSON object; a trainer's has

    train_seconds              the training loop with its recording, without imports, loading the
                               model, tokenizing and compiling
    examples, tokens           trained in all epochs; tokens without padding
    peak_rss_mb                the process's largest resident memory (MiB) until training's end
    first_step_seconds         from the start of the process to the end of the first step
    forward_tokens_per_second  of a pass without gradients, with `loop --forward`; else null
    final_loss                 the mean training loss of the last epoch
    encoder_parameters         of the transformer blocks, which see every token

`peak` measures how fast torch.matmul multiplies large matrices here. `make-base` saves a
bert-base-sized model with random weights, and `join` makes examples of at least --max-length
tokens by joining sentences. Data is a TSV file with a header and the columns id, label, text.
"""

import argparse
import json
import os
import random
import resource
import time
from pathlib import Path

# A missing file is to be an error here, never a download.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
import transformers
from torch.nn.functional import cross_entropy
from transformers import (AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertModel,
                          DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback,
                          TrainingArguments, default_data_collator, set_seed)

N_LABELS = 2
SEED = 7
# How many batches are sorted by length together, as in transformers' sampler for group_by_length.
BATCHES_IN_A_CHUNK = 50
PEAK_SIZE = {"cpu": 2048, "cuda": 8192}
PEAK_REPETITIONS = 20


def read_data(path):
    """The header and the (id, label, text) rows of a TSV file, whose quotes are characters."""
    header, *rows = path.read_text(encoding="utf-8").strip("\n").split("\n")
    return header, [row.split("\t") for row in rows]


def process_age():
    """Seconds since this process was started."""
    # The 22nd field, counted behind the program's name, which may hold spaces.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def peak_rss_mb():
    """The largest resident memory of this process so far in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def load_model(arguments, **settings):
    """The classifier in float32 with a new head."""
    set_seed(SEED)
    return AutoModelForSequenceClassification.from_pretrained(
        arguments.model, num_labels=N_LABELS, dtype=torch.float32, **settings
    )


def tokenize(arguments, tokenizer, padding):
    """The examples as dictionaries that the collators of transformers take."""
    _, rows = read_data(arguments.data)
    encoded = tokenizer(
        [text for _, _, text in rows],
        truncation=True,
        max_length=arguments.max_length,
        padding=padding,
    )
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": int(label), "index": index}
        for index, (ids, mask, (_, label, _)) in enumerate(
            zip(encoded["input_ids"], encoded["attention_mask"], rows)
        )
    ]


def wait_for(device):
    """Waits until all that was launched there is done."""
    if device == "cuda":
        torch.cuda.synchronize()


class Measured:
    """What a trainer reports of its run."""

    def __init__(self, arguments, examples, model):
        self.device = arguments.device
        self.epochs = arguments.epochs
        self.n_examples = len(examples)
        self.n_tokens = sum(sum(example["attention_mask"]) for example in examples)
        self.encoder_parameters = sum(
            parameter.numel()
            for name, parameter in model.named_parameters()
            if ".encoder." in name
        )
        # (E, N, C), the training dynamics.
        shape = (self.epochs, self.n_examples, N_LABELS)
        self.logits = torch.full(shape, torch.nan, device=self.device)
        self.begin = self.end = self.first_step = self.peak_rss = None

    def start(self):
        """Begins to time the training loop."""
        wait_for(self.device)
        self.begin = time.perf_counter()

    def step(self):
        """Takes the time of the first step's end."""
        if self.first_step is None:
            wait_for(self.device)
            self.first_step = process_age()

    def stop(self):
        """Ends the time of the training loop and looks at the memory."""
        wait_for(self.device)
        self.end = time.perf_counter()
        self.peak_rss = peak_rss_mb()

    def report(self, final_loss, forward=None):
        """Prints the run's JSON line, after a look at whether all logits were recorded."""
        if self.logits.isnan().any():
            raise SystemExit("peers: some example's logits were not recorded")
        report = {
            "train_seconds": self.end - self.begin,
            "examples": self.n_examples * self.epochs,
            "tokens": self.n_tokens * self.epochs,
            "peak_rss_mb": self.peak_rss,
            "first_step_seconds": self.first_step,
            "forward_tokens_per_second": forward,
            "final_loss": final_loss,
            "encoder_parameters": self.encoder_parameters,
        }
        print(json.dumps(report))


class Timing(TrainerCallback):
    """Tells Measured when the Trainer begins, makes a step and ends."""

    def __init__(self, measured):
        self.measured = measured

    def on_train_begin(self, args, state, control, **kwargs):
        self.measured.start()

    def on_step_end(self, args, state, control, **kwargs):
        self.measured.step()

    def on_train_end(self, args, state, control, **kwargs):
        self.measured.stop()


class EveryExampleAlone(TrainerCallback):
    """Runs every training example at batch 1 after each epoch and keeps its logits."""

    def __init__(self, examples, logits):
        self.examples, self.logits = examples, logits

    def on_epoch_end(self, args, state, control, model=None, **kwargs):
        epoch = round(state.epoch) - 1
        model.eval()
        with torch.no_grad():
            for index, example in enumerate(self.examples):
                output = model(
                    input_ids=torch.tensor([example["input_ids"]], device=model.device),
                    attention_mask=torch.tensor([example["attention_mask"]], device=model.device),
                )
                self.logits[epoch, index] = output.logits[0]


class KeepingTrainer(Trainer):
    """A Trainer that keeps the logits of the training pass itself."""

    logits = None

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        indices = inputs.pop("index")
        loss, output = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        self.logits[int(self.state.epoch or 0), indices] = output.logits.detach().float()
        return (loss, output) if return_outputs else loss


def training_arguments(arguments, **settings):
    """The Trainer's own defaults but for what both sides share, and without files and bars."""
    return TrainingArguments(
        output_dir="target/bench/trainer",
        num_train_epochs=arguments.epochs,
        per_device_train_batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        logging_strategy="epoch",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=arguments.device == "cpu",
        bf16=arguments.precision == "bf16",
        seed=SEED,
        **settings,
    )


def train_and_report(trainer, measured):
    """Runs a Trainer under Timing and prints its report."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Timing(measured))
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    measured.report(losses[-1])


def run_trainer(arguments):
    """Peer (a): the Trainer with everything padded to the longest length allowed."""
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = load_model(arguments)
    examples = tokenize(arguments, tokenizer, padding="max_length")
    measured = Measured(arguments, examples, model)
    trainer = Trainer(
        model=model,
        args=training_arguments(arguments),
        train_dataset=examples,
        data_collator=default_data_collator,
    )
    trainer.add_callback(EveryExampleAlone(examples, measured.logits))
    train_and_report(trainer, measured)


def run_trainer_grouped(arguments):
    """Peer (b): the Trainer with batches of similar lengths, padded to the longest in the batch."""
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = load_model(arguments)
    examples = tokenize(arguments, tokenizer, padding=False)
    measured = Measured(arguments, examples, model)
    trainer = KeepingTrainer(
        model=model,
        # The column `index`, which is not the model's, has to reach compute_loss.
        args=training_arguments(
            arguments, train_sampling_strategy="group_by_length", remove_unused_columns=False
        ),
        train_dataset=examples,
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )
    trainer.logits = measured.logits
    train_and_report(trainer, measured)


def bucketed(examples, batch_size, generator):
    """Random batches of examples of similar lengths: shuffled, sorted in chunks, cut, shuffled."""
    order = list(range(len(examples)))
    generator.shuffle(order)
    chunk = batch_size * BATCHES_IN_A_CHUNK
    batches = []
    for start in range(0, len(order), chunk):
        part = sorted(order[start : start + chunk], key=lambda index: len(examples[index]["input_ids"]))
        batches += [part[at : at + batch_size] for at in range(0, len(part), batch_size)]
    generator.shuffle(batches)
    return batches


def collate(examples, indices, pad_id, always_mask=False):
    """Token ids (B, L), their mask, which may be None when nothing is padded, and labels (B)."""
    rows = [examples[index]["input_ids"] for index in indices]
    lengths = torch.tensor([len(row) for row in rows])
    longest = int(lengths.max())
    ids = torch.tensor([row + [pad_id] * (longest - len(row)) for row in rows])
    mask = torch.arange(longest)[None, :] < lengths[:, None]
    labels = torch.tensor([examples[index]["labels"] for index in indices])
    return ids, mask.long() if always_mask or not bool(mask.all()) else None, labels


class Loop:
    """Peer (c): a loop written by hand, with a model, an optimizer and a schedule."""

    def __init__(self, arguments):
        self.arguments = arguments
        tokenizer = AutoTokenizer.from_pretrained(arguments.model)
        self.pad_id = tokenizer.pad_token_id
        model = load_model(arguments, attn_implementation=arguments.attention)
        self.model = model.to(arguments.device)
        self.examples = tokenize(arguments, tokenizer, padding=False)
        self.measured = Measured(arguments, self.examples, self.model)
        steps = arguments.epochs * -(-len(self.examples) // arguments.batch_size)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=arguments.learning_rate, weight_decay=0.0, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: max(0.0, 1.0 - step / steps)
        )
        self.forward = torch.compile(self.model, dynamic=True) if arguments.compile else self.model
        # With and without a mask the model would be compiled twice, which takes minutes.
        lengths = {len(example["input_ids"]) for example in self.examples}
        self.always_mask = arguments.compile and len(lengths) > 1

    def batch(self, indices):
        """Token ids, mask and labels of some examples."""
        tensors = collate(self.examples, indices, self.pad_id, self.always_mask)
        if self.arguments.device == "cpu":
            return tensors
        return [
            tensor if tensor is None else tensor.pin_memory().to("cuda", non_blocking=True)
            for tensor in tensors
        ]

    def by_length(self):
        """The examples' indices, the shortest first."""
        return sorted(range(len(self.examples)), key=lambda i: len(self.examples[i]["input_ids"]))

    def logits(self, ids, mask):
        """The logits (B, C) in float32, computed in the precision asked for."""
        is_bf16 = self.arguments.precision == "bf16"
        with torch.autocast(self.arguments.device, torch.bfloat16, enabled=is_bf16):
            output = self.forward(input_ids=ids, attention_mask=mask)
        return output.logits.float()

    def compile(self):
        """Has the model compiled, forward and backward, by a short and a long batch."""
        self.model.train()
        order = self.by_length()
        for indices in (order[: self.arguments.batch_size], order[-self.arguments.batch_size :]):
            ids, mask, labels = self.batch(indices)
            cross_entropy(self.logits(ids, mask), labels).backward()
        self.optimizer.zero_grad(set_to_none=True)

    def train(self):
        """Trains for all epochs and returns the mean loss of the last."""
        generator = random.Random(SEED)
        self.model.train()
        self.measured.start()
        for epoch in range(self.arguments.epochs):
            losses = []
            for indices in bucketed(self.examples, self.arguments.batch_size, generator):
                ids, mask, labels = self.batch(indices)
                logits = self.logits(ids, mask)
                loss = cross_entropy(logits, labels)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
                self.schedule.step()
                self.optimizer.zero_grad(set_to_none=True)
                self.measured.logits[epoch, indices] = logits.detach()
                losses.append(loss.detach() * len(indices))
                self.measured.step()
        self.measured.stop()
        return float(sum(losses)) / len(self.examples)

    def evaluate(self):
        """Real tokens per second of the faster of two passes over the training set."""
        self.model.eval()
        order = self.by_length()
        batch_size = self.arguments.batch_size
        rates = []
        for _ in range(2):
            wait_for(self.arguments.device)
            begin = time.perf_counter()
            with torch.no_grad():
                for start in range(0, len(order), batch_size):
                    ids, mask, _ = self.batch(order[start : start + batch_size])
                    self.logits(ids, mask)
            wait_for(self.arguments.device)
            rates.append(self.measured.n_tokens / (time.perf_counter() - begin))
        return max(rates)


def run_loop(arguments):
    """Runs peer (c) and prints its report."""
    loop = Loop(arguments)
    if arguments.compile:
        loop.compile()
    final_loss = loop.train()
    loop.measured.report(final_loss, loop.evaluate() if arguments.forward else None)


def fastest_product(dtype, device):
    """GFLOP/s of the fastest of several products of large matrices."""
    size = PEAK_SIZE[device]
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty(size, size, dtype=dtype, device=device)
    seconds = []
    for _ in range(PEAK_REPETITIONS):
        wait_for(device)
        begin = time.perf_counter()
        torch.matmul(left, right, out=out)
        wait_for(device)
        seconds.append(time.perf_counter() - begin)
    return 2 * size**3 / min(seconds) / 1e9


def run_peak(arguments):
    """Prints the measured peak of torch.matmul in f32 and bf16, and what it was measured with."""
    peak = {
        "f32_gflops": fastest_product(torch.float32, arguments.device),
        "bf16_gflops": fastest_product(torch.bfloat16, arguments.device),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if arguments.device == "cuda" else None,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    print(json.dumps(peak))


def run_make_base(arguments):
    """Saves a model with the size of bert-base, random weights and another model's tokenizer."""
    set_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    model = BertModel(BertConfig(vocab_size=len(tokenizer)))
    model.save_pretrained(arguments.model)
    tokenizer.save_pretrained(arguments.model)
    print(json.dumps({"parameters": model.num_parameters()}))


def run_join(arguments):
    """Joins neighbouring sentences until they have at least --max-length tokens each."""
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    header, rows = read_data(arguments.data)
    joined, texts = [], []
    for _, label, text in rows:
        texts.append(text)
        if len(tokenizer(" ".join(texts))["input_ids"]) >= arguments.max_length:
            joined.append(f"joined-{len(joined)}\t{label}\t{' '.join(texts)}")
            texts = []
        if len(joined) == arguments.examples:
            break
    else:
        raise SystemExit(f"peers: {arguments.data} suffices for {len(joined)} examples only")
    arguments.output.write_text("\n".join([header, *joined]) + "\n", encoding="utf-8")
    print(json.dumps({"examples": len(joined)}))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    def command(name, function):
        added = commands.add_parser(name, help=function.__doc__)
        added.set_defaults(run=function)
        return added

    trainers = [
        command("trainer", run_trainer),
        command("trainer-grouped", run_trainer_grouped),
        command("loop", run_loop),
    ]
    for trainer in trainers:
        trainer.add_argument("--model", type=Path, required=True)
        trainer.add_argument("--data", type=Path, required=True)
        trainer.add_argument("--max-length", type=int, default=128)
        trainer.add_argument("--batch-size", type=int, default=32)
        trainer.add_argument("--epochs", type=int, default=3)
        trainer.add_argument("--learning-rate", type=float, default=5e-5)
        trainer.add_argument("--precision", choices=["bf16", "f32"], default="f32")
        trainer.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    trainers[-1].add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    trainers[-1].add_argument("--compile", action="store_true")
    trainers[-1].add_argument("--forward", action="store_true", help="time a forward pass, too")
    peak = command("peak", run_peak)
    peak.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    make_base = command("make-base", run_make_base)
    make_base.add_argument("--tokenizer", type=Path, required=True)
    make_base.add_argument("--model", type=Path, required=True)
    join = command("join", run_join)
    join.add_argument("--tokenizer", type=Path, required=True)
    join.add_argument("--data", type=Path, required=True)
    join.add_argument("--output", type=Path, required=True)
    join.add_argument("--examples", type=int, default=96)
    join.add_argument("--max-length", type=int, default=128)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    arguments.run(arguments)


if __name__ == "__main__":
    main()
