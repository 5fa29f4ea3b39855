"""Helper functions of the rules: the resolved config, the part of it that a stage uses, and the code it runs."""

import json
import os
import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from sacp import config as sacp_config
from sacp import problem, ranking
from sacp.digests import code_digest
from sacp.errors import InputError


def resolve_config():
    """Validate the config before the DAG is built; a user's mistake ends here, in one line."""
    source = ", ".join(str(path) for path in workflow.overwrite_configfiles or ["config/config.yaml"])
    try:
        complete = sacp_config.resolve(config, Path(workflow.basedir) / "config/schema.yaml", source)
        if workflow.is_main_process:  # a job that the scheduler started was checked before
            from sacp import preflight  # not above: each job would wait for torch

            # Jobs of a cluster (`--jobs`) run elsewhere: there, not here, a GPU must be.
            preflight.check(
                complete,
                source,
                Path(workflow.basedir) / "config/reported/table3.csv",
                here=workflow.resource_settings.nodes is None,
            )
        return complete
    except InputError as error:
        # Not an exception: Snakemake would wrap it in its own words and the place in this file.
        print(f"error: {error}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)


@cache
def code(script):
    """Content hash of a script and the library modules that it imports: a param, so that an edit reruns the rule."""
    return code_digest(Path(workflow.basedir) / "scripts" / f"{script}.py")


def experiment_of(wildcards):
    return resolved["experiments"][wildcards.experiment]


def method_of(wildcards):
    return experiment_of(wildcards)["methods"][wildcards.method]


def methods_of(experiment, *kinds):
    """Names of an experiment's methods of these kinds; of all kinds if none is given."""
    methods = resolved["experiments"][experiment]["methods"]
    return [name for name, method in methods.items() if not kinds or method["kind"] in kinds]


def names_of_kind(*kinds):
    """A pattern of the names of all methods of these kinds, in whatever experiment; of none, if there are none."""
    return pattern_of(name for experiment in resolved["experiments"] for name in methods_of(experiment, *kinds))


def pattern_of(names):
    """A pattern of these names; one that matches nothing, if there are none."""
    return "|".join(sorted(set(names))) or "(?!)"


def ordered(value):
    """The same value, keys of all its dicts sorted: Snakemake compares params as text, and order has no meaning there."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(item) for item in value] if isinstance(value, list) else value


def stage(*parts, **more):
    """A params function: one plain dict with sorted keys, the part of the resolved config that a stage uses."""

    shared = {
        "device": resolved["device"],
        "engine": {"deterministic": resolved["deterministic"], "precision": resolved["precision"]},
        "processes": resolved["processes"],
    }

    def settings(wildcards):
        experiment = experiment_of(wildcards)
        taken = {"network": problem.network_settings(experiment, resolved["datasets"])}
        for part in parts:
            taken[part] = shared[part] if part in shared else experiment[part]
        for name, value in more.items():
            taken[name] = value(wildcards) if callable(value) else value
        return ordered(taken)

    return settings


def minutes(first_try):
    """Minutes that a job may take: with every retry more, as a job that ran out of time needs them."""
    return lambda wildcards, attempt: first_try * attempt


def gpus(number):
    """GPUs of a job: none if the config says that all runs on CPUs."""
    return 0 if resolved["device"] == "cpu" else number


def data_file(wildcards):
    return f"<results>/data/{experiment_of(wildcards)['dataset']}.safetensors"


def seed_paths(pattern, **values):
    """Paths of `pattern` for every seed."""
    return expand(pattern, seed=resolved["seeds"], **values)


def dataset_files(wildcards):
    """The files that a prepared data set depends on: none where a library brings them, or where they are a million."""
    dataset = resolved["datasets"][wildcards.dataset]
    if dataset["source"] != "parquet":
        return []
    return [f"{dataset['path']}/{part}.parquet" for part in ("train", "test")]


def initial_weights(wildcards):
    """The file of weights that a base starts from, if it is a file."""
    initial = experiment_of(wildcards)["network"].get("weights")
    return {"weights": initial} if initial and problem.is_weights_file(initial) else {}


def published_weights(wildcards):
    """The name of the weights that a base starts from, if torchvision publishes them."""
    initial = experiment_of(wildcards)["network"].get("weights")
    return initial if initial and not problem.is_weights_file(initial) else None


def shards(wildcards):
    """Shards of the m best by rank; raising m adds shards and renames none but a last one that was cut short."""
    m = experiment_of(wildcards)["refine"]["top_m"]
    return shards_of(f"{wildcards.method}/topm", m, wildcards)


def sample_shards(drawn, number, repeat, wildcards):
    """Shards of the first `number` rows of a set of configurations, tuned for the time `repeat`."""
    return shards_of(f"sample/{drawn}/repeat{repeat}", number, wildcards)


def shards_of(folder, number, wildcards):
    """Names of shards that hold `number` rows, in a folder of this experiment and seed."""
    size = experiment_of(wildcards)["refine"]["shard_size"]
    return [
        f"<results>/{wildcards.experiment}/seed{wildcards.seed}/{folder}/"
        f"{first:03d}-{min(first + size, number) - 1:03d}.csv"
        for first in range(0, number, size)
    ]


def selection(wildcards):
    """Where the kept channels come from: a candidate's from the search set, a baseline's from its own file."""
    seed_folder = f"<results>/{wildcards.experiment}/seed{wildcards.seed}"
    if method_of(wildcards)["kind"] in ("search", "tuned"):
        return {"configs": candidates_of(wildcards)}
    return {"kept": f"{seed_folder}/{wildcards.method}/kept/{wildcards.candidate}.json"}


def predictors_of(wildcards):
    return experiment_of(wildcards)["predictors"]


def studied():
    """Experiments whose predictors are compared."""
    return [name for name, settings in resolved["experiments"].items() if settings["predictors"]["sample"]]


def encoders_of(experiment):
    """Settings of all encoders of an experiment by name: those of its searches, then those that are only compared."""
    settings = resolved["experiments"][experiment]
    of_searches = {name: settings["methods"][name]["encoder"] for name in with_encoder(experiment)}
    return of_searches | settings["predictors"]["encoders"]


def with_encoder(experiment):
    """Names of the searches whose score is an encoder's."""
    methods = resolved["experiments"][experiment]["methods"]
    return [name for name in methods_of(experiment, "search") if methods[name]["score"] == problem.ENCODER]


def encoder_file(wildcards):
    """The encoder of a search, if its score is an encoder's."""
    if method_of(wildcards)["score"] != problem.ENCODER:
        return {}
    return {"encoder": f"<results>/{wildcards.experiment}/seed{wildcards.seed}/{wildcards.method}/encoder.pt"}


def score_settings(wildcards):
    """What a search's score is: of an encoder with these settings, or a closed form."""
    keys = ("score", "encoder", "exponents")
    return {key: method_of(wildcards)[key] for key in keys if key in method_of(wildcards)}


def find_settings(wildcards):
    """A search's score, and how its candidates are found."""
    return score_settings(wildcards) | {"search": method_of(wildcards)["search"]}


def finders():
    """A pattern of the names of all searches that find candidates of their own."""
    return pattern_of(
        name
        for experiment, settings in resolved["experiments"].items()
        for name in methods_of(experiment, "search")
        if settings["methods"][name]["search"] != problem.SAMPLE
    )


def candidates_of(wildcards):
    """The file that holds a search's candidates, its own or the sample that all share; a tuned method's are its match's."""
    folder, name = f"<results>/{wildcards.experiment}/seed{wildcards.seed}", search_of(wildcards)
    own = experiment_of(wildcards)["methods"][name]["search"] != problem.SAMPLE
    return f"{folder}/{name}/configs.h5" if own else f"{folder}/configs.h5"


def encoder_of(wildcards):
    return encoders_of(wildcards.experiment)[wildcards.method]


def predictor_inputs(wildcards):
    """Encoders and tuned networks of the sample, repeat by repeat."""
    settings, folder = predictors_of(wildcards), f"<results>/{wildcards.experiment}/seed{wildcards.seed}"
    return {
        "encoders": [f"{folder}/{name}/encoder.pt" for name in sorted(encoders_of(wildcards.experiment))],
        "tuned": [
            path
            for repeat in range(settings["repeats"])
            for path in sample_shards("search", settings["sample"], repeat, wildcards)
        ],
    }


def labelled_shards(wildcards):
    """Shards of the candidates that are tuned before the others are ranked anew."""
    number = problem.labelled(method_of(wildcards), experiment_of(wildcards)["refine"])
    return shards_of(f"{wildcards.method}/topm", number, wildcards)


def ranks_of(wildcards):
    """The scores by which a shard's candidates are ranked: the search's, or those of a search that has learned since."""
    number = problem.labelled(method_of(wildcards), experiment_of(wildcards)["refine"])
    name = "rescored" if number and int(wildcards.first) >= number else "scores"
    return f"<results>/{wildcards.experiment}/seed{wildcards.seed}/{wildcards.method}/{name}.parquet"


def labels(wildcards):
    """The tuned configurations that a regression learns from."""
    number = experiment_of(wildcards)["methods"].get(wildcards.method, {}).get("labels")
    return {"labels": sample_shards("training", number, 0, wildcards)} if number else {}


def search_of(wildcards):
    """The search whose tuned candidates a method chooses from: its own, or another's; None for a baseline."""
    kind = method_of(wildcards)["kind"]
    return {"search": wildcards.method, "tuned": method_of(wildcards).get("match")}.get(kind)


def recipe_of(wildcards):
    """How a method's candidates are trained before one is chosen: SACP-2 takes them as they were tuned."""
    return experiment_of(wildcards)["tune" if method_of(wildcards)["kind"] == "tuned" else "full"]


def stream_of(wildcards):
    """The name of the randomness of that training: with the tuning's, a tuned network comes out in the same bits."""
    return "tune" if method_of(wildcards)["kind"] == "tuned" else "full"


def chosen_from(wildcards):
    """k, the number of tuned candidates that are trained and chosen from: for SACP-2, the best alone."""
    return 1 if method_of(wildcards)["kind"] == "tuned" else experiment_of(wildcards)["refine"]["top_k"]


def ranked(wildcards):
    """The tuned candidates of a search. Through this plain input a winner is open as soon as they are."""
    search = search_of(wildcards)
    return f"<results>/{wildcards.experiment}/seed{wildcards.seed}/{search}/topm.csv" if search else []


def tuned_rows(wildcards):
    """The tuned candidates that a method chooses from, known once they are."""
    done = checkpoints.rank_tuned.get(experiment=wildcards.experiment, seed=wildcards.seed, method=search_of(wildcards))
    return ranking.load_tuned(done.output.tuned)


def sweep_sizes(experiment):
    """Values of m in figure 2, ascending."""
    settings = resolved["experiments"][experiment]
    return sorted({*settings["sweep"]["m"], settings["refine"]["top_m"]})


def sweep_inputs(wildcards):
    """Figure 2: for every seed, the tuned candidates of all searches and metrics of all that any m would choose."""
    found = {"tuned": [], "trained": []}
    k = experiment_of(wildcards)["refine"]["top_k"]
    for method in methods_of(wildcards.experiment, "search"):
        for seed in resolved["seeds"]:
            values = Values(experiment=wildcards.experiment, seed=str(seed), method=method)
            folder = f"<results>/{wildcards.experiment}/seed{seed}/{method}"
            tuned = tuned_rows(values)
            union = {each for m in sweep_sizes(wildcards.experiment) for each in ranking.chosen(tuned, m, k)}
            found["tuned"].append(f"{folder}/topm.csv")
            found["trained"] += [f"{folder}/topk/{candidate}/metrics.json" for candidate in sorted(union)]
    return found


def trained_candidates(wildcards):
    """Metrics of the candidates among which the winner is chosen, known once the m are tuned.

    They are the k best-tuned ones of a search, the best alone for SACP-2; a baseline has one, its winner's match.
    """
    search = search_of(wildcards)
    if search:
        top_m = experiment_of(wildcards)["refine"]["top_m"]
        candidates = ranking.chosen(tuned_rows(wildcards), top_m, chosen_from(wildcards))
    else:
        candidates = [matched_candidate(wildcards)]
    return [
        f"<results>/{wildcards.experiment}/seed{wildcards.seed}/{wildcards.method}/topk/{candidate}/metrics.json"
        for candidate in candidates
    ]


def protocol_settings(wildcards):
    """What decides the winner beyond the tuning, as a file that the winner depends on.

    Snakemake asks whether a checkpoint must run again before it knows those of its inputs that hang on another
    checkpoint, and then looks at nothing but jobs that do not. This file is made by such a job: if k or the full
    training change, the winner is open at once, and the baselines wait for the new one instead of taking the old.
    """
    parts = stage("device", "engine", "processes", "validation", recipe=recipe_of, stream=stream_of)
    settings = parts(wildcards) | {"training": code("train_candidate")}
    if search_of(wildcards):
        settings["top_k"] = chosen_from(wildcards)
    return ordered(settings)


def matched_candidate(wildcards):
    """Number of the candidate that won the matched search.

    A baseline's files are named by it: a search that chooses the same one again leaves all of them as they are, and one
    that goes back to an earlier winner finds the baseline trained.
    """
    match = method_of(wildcards)["match"]
    won = checkpoints.select_winner.get(experiment=wildcards.experiment, seed=wildcards.seed, method=match)
    with open(won.output.metrics) as handle:
        return json.load(handle)["candidate"]


def selection_inputs(wildcards):
    """What some baselines look at: the data, for a criterion that looks at images; the sparsely trained network."""
    method, found = method_of(wildcards), {}
    if method.get("criterion") in problem.LOOK_AT_IMAGES:
        found["data"] = data_file(wildcards)
    if method["kind"] == "slimming":
        found["sparse"] = f"<results>/{wildcards.experiment}/seed{wildcards.seed}/sparse.pt"
    return found


def matched_metrics(wildcards):
    """Metrics of the candidate whose FLOPs a baseline matches."""
    match = method_of(wildcards)["match"]
    return f"<results>/{wildcards.experiment}/seed{wildcards.seed}/{match}/topk/{wildcards.candidate}/metrics.json"


def table_inputs(*kinds):
    """Metrics of every base and every winner of these kinds, in the order of experiments, methods and seeds."""

    def inputs(wildcards):
        pattern = "<results>/{experiment}/seed{seed}/{method}/winner/metrics.json"
        return {
            "bases": [
                path
                for experiment in resolved["experiments"]
                for path in seed_paths("<results>/{experiment}/seed{seed}/base.pt", experiment=experiment)
            ],
            "winners": [
                path
                for experiment in resolved["experiments"]
                for method in methods_of(experiment, *kinds)
                for path in seed_paths(pattern, experiment=experiment, method=method)
            ],
        }

    return inputs


def drawn():
    """Experiments that have figures: those with a search."""
    return [name for name in resolved["experiments"] if methods_of(name, "search")]


def tables():
    """Names of the tables that this config gives."""
    return ["table3", "table4", *(["predictors"] if studied() else []), "table1"]


def summary_inputs(wildcards):
    """All tables, and all figures by experiment."""
    return {
        "tables": expand("<results>/tables/{table}.csv", table=tables()),
        "figures": figure_files(),
    }


def captions():
    """Captions of all figures, experiment by experiment, in the order of their files."""
    folder = Path(workflow.basedir) / "rules/captions"
    return {
        experiment: [(folder / f"{figure}.rst").read_text().strip() for figure in figures_of(experiment)]
        for experiment in drawn()
    }


def summary_artefacts(wildcards):
    """Artefacts whose records say what the run has cost."""
    return sorted({path for paths in spent_inputs(wildcards).values() for path in paths})


def first_seed(name):
    """A file of an experiment's first seed."""
    return f"<results>/{{experiment}}/seed{resolved['seeds'][0]}/{name}"


def of_methods(name, *kinds):
    """An input function: a file of each method of these kinds, of all if none is given, of the first seed."""
    return of_named(name, lambda experiment: methods_of(experiment, *kinds))


def of_named(name, methods):
    """An input function: a file of each method that `methods` names for an experiment, of the first seed."""

    def inputs(wildcards):
        folder = f"<results>/{wildcards.experiment}/seed{resolved['seeds'][0]}"
        return [f"{folder}/{method}/{name}" for method in methods(wildcards.experiment)]

    return inputs


def of_searches(name):
    return of_methods(name, "search")


def of_encoders(name):
    """An input function: a file of each search with an encoder, of the first seed."""
    return of_named(name, with_encoder)


def encoder_candidates(wildcards):
    """Files of the candidates of each search with an encoder, of the first seed."""
    values = {"experiment": wildcards.experiment, "seed": resolved["seeds"][0]}
    return [candidates_of(Values(values, method=method)) for method in with_encoder(wildcards.experiment)]


def figures_of(experiment):
    """Names of an experiment's figures; those of encoders only if it has one."""
    return [name for name in problem.FIGURES if name not in problem.OF_ENCODERS or with_encoder(experiment)]


def figure_files():
    """All figures, experiment by experiment."""
    return [
        f"<results>/figures/{figure}/{experiment}.png" for experiment in drawn() for figure in figures_of(experiment)
    ]


def first_search(experiment):
    """The search that figure 1 shows."""
    return methods_of(experiment, "search")[0]


def method_inputs(wildcards):
    """The winner of figure 1's search."""
    folder = f"<results>/{wildcards.experiment}/seed{resolved['seeds'][0]}/{first_search(wildcards.experiment)}"
    return {"winner": f"{folder}/winner/metrics.json", "description": f"{folder}/winner/network.json"}


def given(resource):
    """What Snakemake was given of a resource; None where nothing limits it."""
    limit = workflow.global_resources.get(resource)
    return None if limit is None else limit.value


def forecast_settings():
    """What decides the cost of the whole run: nearly all of the config, and the cores and GPUs Snakemake was given."""
    names = ("datasets", "device", "experiments", "processes", "seeds", "threads", "threads_base")
    settings = {name: resolved[name] for name in names} | {
        "cores": given("_cores"),
        "engine": {"deterministic": resolved["deterministic"], "precision": resolved["precision"]},
        "gpus": given("gpu"),
    }
    return ordered(settings)


def spent_inputs(wildcards):
    """Artefacts whose records say what each stage has taken, by stage; small jobs without a record are left out."""
    found = {
        "prepare_data": sorted({data_file(Values(experiment=name)) for name in resolved["experiments"]}),
        "rest": expand("<results>/{experiment}/network.json", experiment=resolved["experiments"]),
        **{stage: [] for stage in ("train_base", "sample_configs", "train_encoder", "score_candidates", "tune_shard")},
        **{stage: [] for stage in ("train_candidate_search", "train_candidate_baseline", "train_sparse")},
        **{stage: [] for stage in ("search_colony", "tune_sample", "find_configs")},
    }
    for experiment in resolved["experiments"]:
        for seed in resolved["seeds"]:
            folder = f"<results>/{experiment}/seed{seed}"
            found["train_base"].append(f"{folder}/base.pt")
            found["sample_configs"].append(f"{folder}/configs.h5")
            if experiment in studied():
                sample = predictor_inputs(Values(experiment=experiment, seed=str(seed)))
                found["tune_sample"] += [path.replace(".csv", ".provenance.json") for path in sample["tuned"]]
                found["train_encoder"] += [path for path in sample["encoders"]]
                found["rest"] += [
                    f"{folder}/sample/search/probes.provenance.json",
                    f"{folder}/predictors.provenance.json",
                ]
            if methods_of(experiment, "slimming"):
                found["train_sparse"].append(f"{folder}/sparse.pt")
            for method in methods_of(experiment):
                values = Values(experiment=experiment, seed=str(seed), method=method)
                if method_of(values)["kind"] == "tuned":
                    found["train_candidate_search"] += trained_candidates(values)
                elif method_of(values)["kind"] == "search":
                    sample = sample_shards("training", method_of(values).get("labels", 0), 0, values)
                    found["tune_sample"] += [path.replace(".csv", ".provenance.json") for path in sample]
                    if experiment not in studied() and method_of(values)["score"] == problem.ENCODER:
                        found["train_encoder"].append(f"{folder}/{method}/encoder.pt")
                    if method_of(values)["search"] != problem.SAMPLE:
                        found["find_configs"].append(candidates_of(values))
                    found["score_candidates"].append(f"{folder}/{method}/scores.parquet")
                    if problem.labelled(method_of(values), experiment_of(values)["refine"]):
                        found["score_candidates"].append(f"{folder}/{method}/rescored.parquet")
                    found["tune_shard"] += [path.replace(".csv", ".provenance.json") for path in shards(values)]
                    found["train_candidate_search"] += trained_candidates(values)
                else:
                    is_colony = method_of(values)["kind"] == "colony"
                    stage = "search_colony" if is_colony else "rest"
                    found[stage].append(f"{folder}/{method}/kept/{matched_candidate(values)}.json")
                    found["train_candidate_baseline"] += trained_candidates(values)
    found["rest"].append("<results>/tables/table3.provenance.json")
    return found


class Values(dict):
    """Values that the helper functions take as they take a job's wildcards."""

    __getattr__ = dict.__getitem__
