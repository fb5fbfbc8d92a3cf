"""What every picture must satisfy."""

from matplotlib.figure import Figure


def assert_all_fits(figure: Figure) -> None:
    """No text leaves the picture, and neither legends nor titles lie on one another or on the axes."""
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
    for axes in figure.axes:
        boxes += [axes.bbox]
        if axes.get_legend() is not None:
            boxes.append(axes.get_legend().get_window_extent())
        if axes.get_title(loc="left"):
            boxes.append(axes._left_title.get_window_extent())
        name = axes.yaxis.label.get_window_extent()
        assert not any(
            name.overlaps(tick.label1.get_window_extent()) for tick in axes.yaxis.get_major_ticks()
        )
    tight = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert tight.x0 >= 0 and tight.y0 >= 0 and tight.x1 <= width and tight.y1 <= height
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:index])
