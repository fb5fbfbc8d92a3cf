"""Export a trained model for other programs."""

from dataclasses import asdict

import click

from trendlstm.cli.common import load_trained, make_console, refuse_existing
from trendlstm.cli.options import examples, json_option


@click.command(
    short_help="Write a trained model as an ONNX file for other programs.",
    epilog=examples("trendlstm export runs/MSFT-20261121-093000 msft.onnx"),
)
@click.argument("run", type=click.Path())
@click.argument("model", metavar="MODEL.onnx", type=click.Path())
@json_option
def export(run: str, model: str, as_json: bool) -> None:
    """Write the model in the folder RUN as an ONNX file, which must not exist yet.

    It takes prices as they are and gives prices: scaling and the mean of an ensemble are inside. ONNX Runtime runs it
    without this package. Its metadata name the run's settings.
    """
    console = make_console(as_json)
    refuse_existing(model)
    from trendlstm.interop.onnx import export_onnx

    loaded = load_trained(console, run)
    written = export_onnx(loaded, model)
    console.print(f"{written.path}: {written.size:,} bytes, operator set {written.opset} of ONNX.")
    if loaded.verdict:
        console.print(f"Its run said: {loaded.verdict}")
    scaling = loaded.config.window.scaling
    if scaling != "window":
        console.print(
            f"With --scaling {scaling} it knows levels of prices: where a split or dividends have restated them since "
            "training, bring them to the run's level first."
        )
    if loaded.config.network.levels:
        point = "mean" if loaded.config.network.loss == "gaussian" else "median"
        console.print(f"It gives the {point} of what the networks predict, without the quantiles around it.")
    console.print()
    ways = [("takes", one) for one in written.inputs] + [("gives", one) for one in written.outputs]
    console.table(
        "The model",
        ["", "Name", "Type", "Shape", "Content"],
        [(way, one.name, one.dtype, f"({', '.join(map(str, one.shape))})", one.meaning) for way, one in ways],
        text=("Name", "Type", "Shape", "Content"),
    )
    inputs = ", ".join(f'"{one.name}": {one.name}' for one in written.inputs)
    console.print()
    console.print("N is any number of windows. To run it in Python, with onnxruntime:")
    console.print(f"  session = onnxruntime.InferenceSession({str(written.path)!r})")
    console.print(f"  (forecast,) = session.run(None, {{{inputs}}})")
    if as_json:
        console.json(
            {"run": loaded.path, "status": loaded.status, "final_fit": loaded.is_final_fit, **asdict(written)}
        )
