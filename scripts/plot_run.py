#!/usr/bin/env python3
"""Draw what a run has learnt: PNG pictures from the HDF5 files of a RUN folder.

    scripts/plot_run.py RUN [-o DIR] [--only curves,filters,samples,ais] [--shape HEIGHTxWIDTH]

curves.png    every metric of RUN/metrics.h5 that changes, against the epoch, stage by stage
filters.png   the columns of the first weight matrix as images; of more than 100, the 100 with the largest norm
samples.png   the samples of RUN/model.h5 as images, in the units of the data before `harmonium whiten`; values that
              black and white stand for are in the title where they are not 0 and 1
ais.png       annealed importance sampling: what each chain says log Z is, with the estimate and its 3-sigma interval;
              the bracket and the verdict are those that `harmonium evaluate` stored

A picture whose data is not in the run is left out, and the reason said. Ends with 0 when every picture asked for with
--only (without it: at least one) was drawn, with 3 when not.
"""
import argparse
import math
import os
import re
import sys
import textwrap

import packages
import results

packages.require("h5py", "matplotlib", "numpy")
import h5py  # noqa: E402 - after what is missing has been told
import matplotlib  # noqa: E402
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 - after the backend is chosen
import numpy  # noqa: E402

TILES_MAX = 100
BOLTZMANN = ("rbm", "dbm", "dbn")  # families whose first matrix joins visible and hidden units
DPI = 150
INK, SOFT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
FORWARD, REVERSE, EXACT = "#2f6fb3", "#c8553d", INK
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.edgecolor": SOFT, "axes.labelcolor": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "grid.color": GRID, "text.color": INK,
    "xtick.color": SOFT, "ytick.color": SOFT, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.formatter.useoffset": False, "figure.dpi": DPI, "savefig.dpi": DPI,
}


class Missing(Exception):
    """The run does not hold what a picture needs."""


# ---- reading ----

def open_file(run, name):
    """RUN/NAME for reading; metrics.h5 may still be written to (SWMR)."""
    path = os.path.join(run, name)
    if not os.path.exists(path):
        raise Missing(f"{path} does not exist")
    for swmr in (True, False):
        try:
            return h5py.File(path, "r", swmr=swmr)
        except OSError as error:
            reason = error
    raise Missing(f"{path} cannot be read as HDF5: {reason}")


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def read_metrics(file):
    """The x axis (values, label) and [(name, unit, description, values)] of every metric."""
    group = file.get("metrics")
    if group is None or not len(group):
        raise Missing(f"{file.filename} has no group /metrics")
    series = {name: item for name, item in group.items() if isinstance(item, h5py.Dataset) and item.ndim == 1}
    values = {name: item[()] for name, item in series.items()}
    axis = next((name for name in ("epoch", "step") if name in values), None)
    names = [name for name in values if name not in ("epoch", "step", "seconds") and len(values[name])]
    if axis is None or not names:
        raise Missing(f"{file.filename}: /metrics holds no metric yet")
    count = min(len(values[name]) for name in [axis] + names)  # a row may be half written
    curves = [(name, text(series[name].attrs.get("units", "")), text(series[name].attrs.get("description", "")),
               values[name][:count].astype(float)) for name in names]
    return (values[axis][:count].astype(float), axis), curves


def image_shape(file, dataset, columns, given):
    """Height and width of a row as an image: as given, or as the attributes of the dataset or its file say."""
    shapes = [given] if given else [(item.attrs.get("height"), item.attrs.get("width")) for item in (dataset, file)]
    for height, width in shapes:
        if height and width and int(height) * int(width) == columns:
            return int(height), int(width)
    if given:
        raise Missing(f"{dataset.name}: --shape {given[0]}x{given[1]} does not make its {columns} columns")
    raise Missing(f"{file.filename} does not say how {dataset.name}'s {columns} columns form an image "
                  "(attributes height, width); give --shape HEIGHTxWIDTH")


def first_weights(file):
    """The matrix from the visible units: W, or the first one of a deeper family that has a row for each of them."""
    group = file.get("parameters", {})
    matrices = [name for name in group if group[name].ndim == 2]
    visible = file.attrs.get("visible")
    matrices.sort(key=lambda name: (name not in ("W", "W1"), visible is not None and len(group[name]) != visible))
    if not matrices:
        raise Missing(f"{file.filename} has no weight matrix in /parameters")
    return group[matrices[0]]


def weight_label(file):
    """Only a Bernoulli unit's weights are log-odds."""
    family, config = text(file.attrs.get("family", "rbm")), text(file.attrs.get("config", ""))
    units = re.search(r"^ *visible_units: *(\w+)", config, re.MULTILINE)
    if family in BOLTZMANN and (units is None or units.group(1) == "bernoulli"):
        return "weight (log-odds per unit)"
    return "weight"


# ---- pictures of images ----

def tile(images, columns, gap=1):
    """images (n, height, width) in one array with `columns` a row, NaN between them and where there is none."""
    count, height, width = images.shape
    rows = -(-count // columns)
    sheet = numpy.full((rows * (height + gap) - gap, columns * (width + gap) - gap), numpy.nan)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top:top + height, left:left + width] = image
    return sheet


def strongest(weights, most):
    """Indices of the columns to show: all in their order, or the `most` with the largest norm, largest first."""
    if weights.shape[1] <= most:
        return numpy.arange(weights.shape[1])
    return numpy.argsort(-numpy.linalg.norm(weights, axis=0), kind="stable")[:most]


def show_sheet(axes, images, **colours):
    sheet = tile(images, max(1, math.ceil(math.sqrt(len(images) * images.shape[1] / images.shape[2]))))
    axes.set_axis_off()
    return axes.imshow(sheet, interpolation="nearest", **colours)


def draw_filters(run, options):
    with open_file(run, "model.h5") as file:
        dataset = first_weights(file)
        weights = dataset[()].astype(float)
        if "visible_and_label" in dataset.attrs.get("axes", ()):
            weights = weights[:file.attrs["visible"]]  # label units have no place in an image
        height, width = image_shape(file, dataset, weights.shape[0], options.shape)
        label, name = weight_label(file), dataset.name.rsplit("/", 1)[-1]
    if not numpy.isfinite(weights).all():
        raise Missing("the weights hold NaN or infinities")
    chosen = strongest(weights, TILES_MAX)
    images = weights[:, chosen].T.reshape(-1, height, width)
    limit = numpy.quantile(numpy.abs(images), 0.995) or 1.0
    figure, axes = plt.subplots(figsize=(6.4, 6.6), layout="constrained")
    picture = show_sheet(axes, images, cmap="RdBu_r", vmin=-limit, vmax=limit)
    hidden = weights.shape[1]
    which = f"all {hidden} hidden units" if hidden == len(chosen) else f"the {len(chosen)} strongest of {hidden}"
    axes.set_title(f"Filters: {name}, weights from the {height} x {width} visible units, {which}")
    bar = figure.colorbar(picture, ax=axes, shrink=0.6, aspect=30, extend="both")
    bar.set_label(label)
    bar.outline.set_visible(False)
    return figure


def undo_whitening(file, rows):
    """Rows in the units of the data before `harmonium whiten`, by the transform that the model keeps."""
    group = file["preprocessing"]
    mean = group["mean"][()]
    if "scale" in group:
        scale = group["scale"][()]
        return mean + numpy.divide(rows, scale, out=numpy.zeros(rows.shape), where=scale > 0)
    return mean + rows @ group["inverse"][()].T


def read_sheets(file, options):
    """[(name, rows there are, images)] of the samples; points of the latent space are no images."""
    group, sheets, whitened = results.of(file, "samples"), [], "preprocessing/mean" in file
    for name, item in group.items():
        if item.ndim != 2 or not len(item) or name.endswith("_latent") or (whitened and name.endswith("_data")):
            continue
        rows = item[:TILES_MAX].astype(float)
        if whitened:
            rows = undo_whitening(file, rows)
        sheets.append((name, len(item), rows.reshape(-1, *image_shape(file, item, rows.shape[1], options.shape))))
    return sheets, whitened


def grey_range(images, whitened):
    """Values that black and white stand for: 0 and 1 where these hold all values; else what there is, or, in units that
    have no black of their own, as far below 0 as above it."""
    finite = images[numpy.isfinite(images)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    if low >= 0:
        return 0.0, max(1.0, high)
    return (low, max(1.0, high)) if whitened else (-max(-low, high), max(-low, high))


def draw_samples(run, options):
    with open_file(run, "model.h5") as file:
        sheets, whitened = read_sheets(file, options)
    if not sheets:
        raise Missing(f"{run}/model.h5 has no images in /samples; draw some with: harmonium sample {run} -n 100")
    figure, all_axes = plt.subplots(1, len(sheets), figsize=(6.2 * len(sheets), 6.5), squeeze=False,
                                    layout="constrained")
    for axes, (name, count, images) in zip(all_axes[0], sheets):
        black, white = grey_range(images, whitened)
        show_sheet(axes, images, cmap="gray", vmin=black, vmax=white)
        shown = f"{len(images)} of {count}" if len(images) < count else f"{count}"
        title = f"Samples: {shown}, /samples/{name}"
        if whitened:
            title += ", in the units of the data"
        if (black, white) != (0.0, 1.0):
            title += f"\nblack is {black:.3g}, white {white:.3g}"
        axes.set_title(title)
    return figure


# ---- learning curves ----

def smoothed(values, window):
    """Running mean over `window` values, as many as given; the ends average what there is. NaN is left out."""
    finite = numpy.isfinite(values)
    kernel = numpy.ones(window)
    total = numpy.convolve(numpy.where(finite, values, 0.0), kernel, mode="same")
    count = numpy.convolve(finite.astype(float), kernel, mode="same")
    return numpy.divide(total, count, out=numpy.full(len(values), numpy.nan), where=count > 0)


def stage_parts(stages, count):
    """Slices of rows that belong to one stage each; `stages`: the stage of every row, or None."""
    ends = [] if stages is None else list(numpy.flatnonzero(numpy.diff(stages[:count])) + 1)
    return [slice(begin, end) for begin, end in zip([0] + ends, ends + [count])]


def is_constant(values):
    return len(values) > 1 and bool((values == values[0]).all())


def draw_part(axes, x, values, noisy):
    """The line of one stage; returns what is drawn as the curve itself."""
    axes.plot(x, values, color=FORWARD, linewidth=0.8 if noisy else 1.6, alpha=0.35 if noisy else 1.0,
              marker="o" if len(values) < 12 else None, markersize=3)
    if not noisy:
        return values
    line = smoothed(values, max(1, len(values) // 25) | 1)
    axes.plot(x, line, color=FORWARD, linewidth=1.8)
    return line


def draw_curve(axes, x, parts, name, unit, description, values):
    noisy = len(values) > 60
    line = numpy.concatenate([draw_part(axes, x[part], values[part], noisy) for part in parts])
    for part in parts[1:]:
        axes.axvline(x[part.start - 1:part.start + 1].mean(), color=SOFT, linewidth=0.8, linestyle=":")
    lines = textwrap.wrap(description, 64)
    axes.set_title(name.replace("_", " "), pad=6 + 11 * len(lines))
    if lines:
        axes.text(0, 1.02, "\n".join(lines), transform=axes.transAxes, color=SOFT, fontsize=7.5, va="bottom")
    axes.set_ylabel(unit or "value")
    finite = numpy.flatnonzero(numpy.isfinite(line))
    if len(finite):
        last = finite[-1]
        axes.plot(x[last], line[last], "o", color=FORWARD, markersize=4, clip_on=False)
        axes.annotate(f"{line[last]:.4g}", (x[last], line[last]), xytext=(6, 0), textcoords="offset points",
                      va="center", color=FORWARD, fontweight="bold", annotation_clip=False)
    measured = [part for part in parts if numpy.isfinite(values[part]).any()] or parts  # other stages do not have it
    lost = sum(int((~numpy.isfinite(values[part])).sum()) for part in measured)
    if lost:
        axes.text(0.98, 0.94, f"NaN or infinite: {lost} of {len(values)}", transform=axes.transAxes, ha="right",
                  va="top", color=REVERSE, fontsize=8)


def split_constants(curves):
    """The curves that change (all, if none does), and a line that tells the others. `stage` is no curve: where one
    ends, a line is drawn."""
    others = [curve for curve in curves if curve[0] != "stage"]
    changing = [curve for curve in others if not is_constant(curve[3])] or others
    constant = [f"{name} {values[0]:.4g}" for name, _, _, values in others
                if not any(name == curve[0] for curve in changing)]
    return changing, "constant: " + ", ".join(constant).replace("_", " ") if constant else ""


def draw_curves(run, options):
    with open_file(run, "metrics.h5") as file:
        (x, axis), curves = read_metrics(file)
    stages = next((values for name, _, _, values in curves if name == "stage"), None)
    parts = stage_parts(stages, len(x))
    curves, constant = split_constants(curves)
    if not curves:
        raise Missing(f"{run}/metrics.h5: /metrics holds no metric yet")
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure, all_axes = plt.subplots(rows, columns, figsize=(4.8 * columns, 2.9 * rows), squeeze=False, sharex=True,
                                    layout="constrained")
    for axes, curve in zip(all_axes.flat, curves):
        draw_curve(axes, x, parts, *curve)
        axes.set_xlabel(axis + (", dotted: the end of a stage" if len(parts) > 1 else ""))
        axes.tick_params(labelbottom=True)
    for axes in all_axes.flat[len(curves):]:
        axes.set_visible(False)
    if constant:
        figure.supxlabel("\n".join(textwrap.wrap(constant, 60 * columns)), fontsize=8, color=SOFT, x=0.01, ha="left")
    return figure


# ---- annealed importance sampling ----

def log_mean_exp(values):
    top = values.max()
    return top + math.log(numpy.mean(numpy.exp(values - top)))


def read_estimates(file):
    """[(method, its scalars, what each chain alone would say log Z is)] of the evaluations with log-weights.

    The log-weights are of Z / Z_base in both directions: forward, log Z = log Z_base + log mean w; reverse,
    log Z = log Z_base - log mean 1/w. So log Z_base follows from log_z and the log-weights."""
    found = []
    for method, group in results.of(file, "evaluation").items():
        if not isinstance(group, h5py.Group) or "log_weights" not in group or "log_z" not in group:
            continue
        weights = group["log_weights"][()].astype(float)
        scalars = {name: float(item[()]) for name, item in group.items() if item.shape == ()}
        finite = weights[numpy.isfinite(weights)]
        if len(finite):
            sign = -1.0 if "reverse" in method else 1.0
            base = scalars["log_z"] - sign * log_mean_exp(sign * finite)
            found.append((method, scalars, base + finite))
    if not found:
        raise Missing(f"{file.filename} has no log-weights in /evaluation; make some with: harmonium evaluate RUN")
    return found


def describe_estimate(scalars, chains):
    stderr = scalars.get("log_z_stderr", math.nan)
    lines = [f"log Z = {scalars['log_z']:.2f} ± {stderr:.2f} nats"]
    if "log_z_lower" in scalars and "log_z_upper" in scalars:
        lines.append(f"3-sigma interval {scalars['log_z_lower']:.2f} to {scalars['log_z_upper']:.2f}")
    lines.append(f"effective sample size {scalars.get('ess', math.nan):.1f} of {chains} chains")
    if "temperatures" in scalars:
        lines.append(f"{int(scalars['temperatures']):,} temperatures")
    return "\n".join(lines)


def draw_estimate(axes, method, scalars, chains, bins):
    colour = REVERSE if "reverse" in method else FORWARD
    axes.hist(chains, bins=bins, color=colour, alpha=0.55, edgecolor="white", linewidth=0.6)
    lower, upper = scalars.get("log_z_lower", math.nan), scalars.get("log_z_upper", math.nan)
    if math.isfinite(lower) and math.isfinite(upper):
        axes.axvspan(lower, upper, color=colour, alpha=0.15, linewidth=0)
    axes.axvline(scalars["log_z"], color=colour, linewidth=1.8)
    axes.set_title(method)
    axes.set_ylabel("chains")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.text(1.02, 0.98, describe_estimate(scalars, len(chains)), transform=axes.transAxes, va="top", fontsize=8,
              linespacing=1.5)


def stored_verdict(file):
    """(lower estimate's name, its log Z, upper one's name, its log Z, verdict), as `harmonium evaluate` stored them; the
    numbers are None in files of before they were stored. None without a verdict."""
    group = results.of(file, "evaluation")
    for upper in ("reverse_ais", "raise"):
        if upper not in group or "verdict" not in group[upper].attrs:
            continue
        lower, verdict = group[upper].attrs.get("bracket_forward"), text(group[upper].attrs["verdict"])
        if lower is None or text(lower) not in group:
            return None, None, None, None, verdict
        lower = text(lower)
        return lower, float(group[lower]["log_z"][()]), upper, float(group[upper]["log_z"][()]), verdict
    return None


def exact_log_z(file):
    exact = results.of(file, "evaluation").get("exact", {})
    return float(exact["log_z"][()]) if "log_z" in exact else None


def headline(stored, exact):
    parts = []
    if stored and stored[0]:
        lower, low, upper, high, _ = stored
        parts.append(f"bracket: {lower} (low on average) {low:.2f}, {upper} (high on average) {high:.2f}, "
                     f"gap {high - low:.2f} nats")
    if exact is not None:
        parts.append(f"exact log Z (dashed) = {exact:.2f}")
    parts.append(f"verdict: {stored[4]}" if stored else "no verdict is stored: evaluate with a forward and a reverse "
                 "method together")
    return "\n".join(line for part in parts for line in textwrap.wrap(part, 110))


def draw_ais(run, options):
    with open_file(run, "model.h5") as file:
        estimates, exact, stored = read_estimates(file), exact_log_z(file), stored_verdict(file)
    everything = numpy.concatenate([chains for _, _, chains in estimates])
    bins = numpy.linspace(everything.min() - 0.5, everything.max() + 0.5, 61)
    figure, all_axes = plt.subplots(len(estimates), 1, figsize=(8.6, 0.9 + 1.9 * len(estimates)), squeeze=False,
                                    sharex=True, layout="constrained")
    for axes, (method, scalars, chains) in zip(all_axes[:, 0], estimates):
        draw_estimate(axes, method, scalars, chains, bins)
        if exact is not None:
            axes.axvline(exact, color=EXACT, linewidth=1.2, linestyle="--")
    all_axes[-1, 0].set_xlabel("log Z as each chain alone estimates it (nats); band: 3-sigma interval of the mean")
    figure.suptitle("Annealed importance sampling\n" + headline(stored, exact), x=0.01, ha="left",
                    fontsize=9)
    return figure


# ---- the command ----

PICTURES = {"curves": draw_curves, "filters": draw_filters, "samples": draw_samples, "ais": draw_ais}


def picture_names(value):
    names = value.split(",")
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown picture '{unknown[0]}'; there are: {', '.join(PICTURES)}")
    return names


def shape(value):
    sides = value.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f"'{value}' is not HEIGHTxWIDTH, as 28x28")
    return int(sides[0]), int(sides[1])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="the folder that `harmonium train` wrote")
    parser.add_argument("-o", "--output", metavar="DIR", help="where the pictures go (default: RUN)")
    parser.add_argument("--only", type=picture_names, metavar="NAMES", help="some of: " + ",".join(PICTURES))
    parser.add_argument("--shape", type=shape, metavar="HxW", help="a row as an image, where the files do not say")
    return parser.parse_args()


def main():
    options = arguments()
    if not os.path.isdir(options.run):
        sys.exit(f"plot_run.py: {options.run} is not a folder; give the RUN that `harmonium train` wrote")
    output = options.output or options.run
    os.makedirs(output, exist_ok=True)
    plt.rcParams.update(STYLE)
    drawn = []
    for name in options.only or PICTURES:
        try:
            figure = PICTURES[name](options.run, options)
        except Missing as reason:
            print(f"plot_run.py: no {name}.png: {reason}", file=sys.stderr)
            continue
        path = os.path.join(output, name + ".png")
        figure.savefig(path, bbox_inches="tight", pad_inches=0.15, facecolor="white")
        plt.close(figure)
        drawn.append(name)
        print(path)
    return 0 if len(drawn) >= len(options.only or [1]) else 3


if __name__ == "__main__":
    sys.exit(main())
