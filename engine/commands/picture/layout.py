"""Where the boxes of a graph stand and the ways its edges take, in pixels.

fast-sugiyama finds the layers and the order within them, which is the hard part. Coordinates are
worked out here, since boxes, lanes and the frames of called graphs differ in size. A called graph
is laid out by itself, then stands in the layout around it as one box; what comes in or goes out
passes a port in its frame. So no box can overlap another, and no edge crosses one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

BOX_WIDTH, BOX_HEIGHT = 216, 74
LANE, GAP_X, GAP_Y, MARGIN = 14, 26, 44, 20
FRAME_SIDE, FRAME_TOP, FRAME_BOTTOM = 18, 38, 16
SWEEPS = 12

Edge = tuple[str, str]
Point = tuple[float, float]
# A vertex of one level: a node or a called graph by name, a port of the frame, or the n-th bend.
Place = tuple[str, str] | tuple[str, int]


@dataclass
class Rect:
    """A box by its upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass
class Drawing:
    """Boxes of nodes, frames of called graphs (outermost first), and ways: points that an edge
    passes, in pairs of the upper and the lower end of an upright piece.
    """

    boxes: dict[str, Rect] = field(default_factory=dict)
    frames: dict[str, Rect] = field(default_factory=dict)
    ways: dict[Edge, list[Point]] = field(default_factory=dict)
    width: float = 0
    height: float = 0


@dataclass
class Level:
    """The layout of one called graph, or of the whole, from its own upper left corner."""

    width: float
    height: float
    at: dict[Place, Rect]
    pieces: dict[tuple[Place, Place], list[Point]]  # the bends of an edge, without its two ends
    inner: dict[str, Level]
    bottom: dict[Place, float]  # where the row of a place ends


def arrange(names: Iterable[str], edges: Sequence[Edge]) -> Drawing:
    """The drawing of a graph; every edge leads from the bottom of a box to the top of another."""
    names = list(names)
    groups = _groups(names)
    if not _framable(groups, edges):
        groups = {f"n:{name}": "" for name in names}
    level = _level("", groups, edges)
    drawing = Drawing(width=level.width + 2 * MARGIN, height=level.height + 2 * MARGIN)
    _collect(drawing, level, MARGIN, MARGIN)
    for edge in edges:
        drawing.ways[edge] = _way(edge, level, groups)
    return drawing


# -- called graphs -----------------------------------------------------------------------------


def _framable(groups: Mapping[str, str], edges: Sequence[Edge]) -> bool:
    """Whether each called graph can stand as one box: none feeds another that feeds it."""
    import networkx

    levels: dict[str, networkx.DiGraph[Place]] = {}
    for edge in edges:
        for call, start, end in _ends(edge, groups):
            levels.setdefault(call, networkx.DiGraph()).add_edge(start, end)
    return all(networkx.is_directed_acyclic_graph(level) for level in levels.values())


def _groups(names: list[str]) -> dict[str, str]:
    """For each node and each called graph, as (`n:name` or `g:name`), the call it stands in."""
    calls: set[str] = set()
    for name in names:
        while name := name.rpartition(".")[0]:
            calls.add(name)
    found = {f"g:{call}": _within(call, calls) for call in sorted(calls)}
    # The node that a called graph returns bears the call's own name: it belongs into the frame.
    return found | {f"n:{name}": name if name in calls else _within(name, calls) for name in names}


def _within(name: str, calls: set[str]) -> str:
    while name := name.rpartition(".")[0]:
        if name in calls:
            return name
    return ""


def _chain(node: str, groups: Mapping[str, str]) -> list[str]:
    """The calls around a node, outermost first, `""` (the whole) before all."""
    chain, call = [], groups[f"n:{node}"]
    while call:
        chain.append(call)
        call = groups[f"g:{call}"]
    return ["", *reversed(chain)]


def _ends(edge: Edge, groups: Mapping[str, str]) -> list[tuple[str, Place, Place]]:
    """The levels that an edge passes, in order, and its two ends in each."""
    start, end = edge
    up, down = _chain(start, groups), _chain(end, groups)
    shared = max(index for index, (a, b) in enumerate(zip(up, down, strict=False)) if a == b)
    out: Place = ("out", start)
    into: Place = ("in", start)
    return [
        *((up[at], _child(up, at, start), out) for at in range(len(up) - 1, shared, -1)),
        (up[shared], _child(up, shared, start), _child(down, shared, end)),
        *((down[at], into, _child(down, at, end)) for at in range(shared + 1, len(down))),
    ]


def _child(chain: list[str], index: int, node: str) -> Place:
    return ("graph", chain[index + 1]) if index + 1 < len(chain) else ("node", node)


# -- one level -----------------------------------------------------------------------------------


def _level(call: str, groups: Mapping[str, str], edges: Sequence[Edge]) -> Level:
    inner = {
        name[2:]: _level(name[2:], groups, edges)
        for name, around in groups.items()
        if name.startswith("g:") and around == call
    }
    sizes: dict[Place, tuple[float, float]] = {
        ("node", name[2:]): (BOX_WIDTH, BOX_HEIGHT)
        for name, around in groups.items()
        if name.startswith("n:") and around == call
    }
    sizes |= {("graph", name): (level.width, level.height) for name, level in inner.items()}
    pairs: dict[tuple[Place, Place], list[Edge]] = {}
    for edge in edges:
        for level_name, start, end in _ends(edge, groups):
            if level_name == call:
                pairs.setdefault((start, end), []).append(edge)
    for places in pairs:
        for place in places:
            sizes.setdefault(place, (LANE, 0))  # a port
    layers, ways = layered(list(sizes), list(pairs))
    xs = _columns(layers, ways, sizes, _offsets(pairs, inner))
    return _measured(call, layers, ways, xs, sizes, inner)


def _offsets(
    pairs: Mapping[tuple[Place, Place], list[Edge]], inner: Mapping[str, Level]
) -> dict[tuple[Place, Place], tuple[float, float]]:
    """How far from the middle of its two ends an edge leaves and arrives: at a frame's ports."""
    found = {}
    for (start, end), edges in pairs.items():
        leaves = arrives = 0.0
        if start[0] == "graph":
            level = inner[str(start[1])]
            leaves = _middle(level.at["out", edges[0][0]]) - level.width / 2
        if end[0] == "graph":
            level = inner[str(end[1])]
            arrives = _middle(level.at["in", edges[0][0]]) - level.width / 2
        found[start, end] = (leaves, arrives)
    return found


def _middle(rect: Rect) -> float:
    return rect.x + rect.width / 2


def layered(
    places: list[Place], pairs: list[tuple[Place, Place]]
) -> tuple[list[list[Place]], dict[tuple[Place, Place], list[Place]]]:
    """Layers from top to bottom, each in its order, and the bends of each edge that skips some.

    Two vertices that are not drawn, one above all and one below, keep the graph in one piece and
    its ports at the frame.
    """
    import fast_sugiyama

    number = {place: index for index, place in enumerate(places)}
    top, bottom = len(places), len(places) + 1
    wanted = [(number[start], number[end]) for start, end in pairs]
    fed, feeding = {end for _, end in wanted}, {start for start, _ in wanted}
    wanted += [(top, vertex) for vertex in range(top) if vertex not in fed]
    wanted += [(vertex, bottom) for vertex in range(top) if vertex not in feeding]
    ((positions, _, _, found),) = fast_sugiyama.from_edges(
        wanted, minimum_length=1, vertex_spacing=10, dummy_vertices=True, dummy_size=1.0,
        ranking_type="minimize", crossing_minimization="barycenter", transpose=True, check_layout=False,
    )  # fmt: skip
    following: dict[int, list[int]] = {}
    for one, other in found or ():
        following.setdefault(int(one), []).append(int(other))
    chains: dict[tuple[int, int], list[int]] = {}
    for start in [*range(len(places)), top]:
        for step in following.get(start, ()):
            bends = []
            while step > bottom:
                bends.append(step)
                step = following[step][0]
            chains[start, step] = bends
    last = max(int(vertex) for vertex, _ in positions)
    place_of: dict[int, Place] = {vertex: ("bend", vertex) for vertex in range(bottom + 1, last + 1)}
    place_of |= dict(enumerate(places))
    reach: dict[Place, list[int]] = {}  # of a port, the vertices from the frame to where it was put
    for vertex, place in enumerate(places):
        if place[0] == "in":
            reach[place] = [*chains[top, vertex], vertex]
        elif place[0] == "out":
            reach[place] = [*chains[vertex, bottom][::-1], vertex]
        for bend in reach.get(place, ()):
            place_of[bend] = ("bend", bend)
        if place in reach:
            place_of[reach[place][0]] = place
    ways: dict[tuple[Place, Place], list[Place]] = {}
    for start_place, end_place in pairs:
        passed = list(chains.get((number[start_place], number[end_place]), ()))
        passed = [*reach.get(start_place, ())[1:], *passed, *reversed(reach.get(end_place, ())[1:])]
        ways[start_place, end_place] = [place_of[vertex] for vertex in passed]
    drawn = {place for bends in ways.values() for place in bends} | set(places)
    rows: dict[float, list[tuple[float, int]]] = {}
    for label, (x, y) in positions:
        vertex = int(label)
        if vertex not in (top, bottom) and place_of[vertex] in drawn:
            rows.setdefault(y, []).append((x, vertex))
    layers = [[place_of[vertex] for _, vertex in sorted(rows[y])] for y in sorted(rows, reverse=True)]
    return layers, ways


# -- coordinates -----------------------------------------------------------------------------------


def _columns(
    layers: list[list[Place]],
    ways: Mapping[tuple[Place, Place], list[Place]],
    sizes: Mapping[Place, tuple[float, float]],
    offsets: Mapping[tuple[Place, Place], tuple[float, float]],
) -> dict[Place, float]:
    """The middle of each place: near those it is joined to, never nearer to its neighbours than
    they are wide. Long edges are kept straight by weighing more.
    """
    above: dict[Place, list[tuple[Place, float, float]]] = {}
    below: dict[Place, list[tuple[Place, float, float]]] = {}
    for pair, bends in ways.items():
        places = [pair[0], *bends, pair[1]]
        leaves, arrives = offsets[pair]
        for upper, lower in pairwise(places):
            shift = (leaves if upper == pair[0] else 0) - (arrives if lower == pair[1] else 0)
            weight = 1 + 3 * ((upper[0] == "bend") + (lower[0] == "bend"))
            above.setdefault(lower, []).append((upper, shift, weight))
            below.setdefault(upper, []).append((lower, -shift, weight))
    xs: dict[Place, float] = {}
    for layer in layers:
        spread = _spread(layer, [0.0] * len(layer), [1.0] * len(layer), sizes)
        xs |= dict(zip(layer, spread, strict=True))
    for sweep in range(SWEEPS):
        both = sweep >= SWEEPS - 3
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wanted, weights = [], []
            for place in layer:
                near = [
                    (xs[other] + shift, weight)
                    for side in ((above, below) if both else (above,) if sweep % 2 == 0 else (below,))
                    for other, shift, weight in side.get(place, ())
                ]
                total = sum(weight for _, weight in near)
                wanted.append(sum(x * weight for x, weight in near) / total if near else xs[place])
                weights.append(total or 0.3)
            xs |= dict(zip(layer, _spread(layer, wanted, weights, sizes), strict=True))
    left = min((x - _width(place, sizes) / 2 for place, x in xs.items()), default=0.0)
    return {place: x - left for place, x in xs.items()}


def _width(place: Place, sizes: Mapping[Place, tuple[float, float]]) -> float:
    return sizes[place][0] if place in sizes else LANE


def _spread(
    layer: list[Place],
    wanted: list[float],
    weights: list[float],
    sizes: Mapping[Place, tuple[float, float]],
) -> list[float]:
    """The places of one layer in their order, as near as can be to where they are wanted.

    Weighted least squares under least distances: pool adjacent violators.
    """
    offsets = [0.0]
    for one, other in pairwise(layer):
        offsets.append(offsets[-1] + (_width(one, sizes) + _width(other, sizes)) / 2 + GAP_X)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members
    for x, offset, weight in zip(wanted, offsets, weights, strict=True):
        mean, total, members = x - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            last_mean, last_weight, last_members = blocks.pop()
            mean = (mean * total + last_mean * last_weight) / (total + last_weight)
            total, members = total + last_weight, members + last_members
        blocks.append((mean, total, members))
    means = [mean for mean, _, members in blocks for _ in range(members)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _measured(
    call: str,
    layers: list[list[Place]],
    ways: Mapping[tuple[Place, Place], list[Place]],
    xs: Mapping[Place, float],
    sizes: Mapping[Place, tuple[float, float]],
    inner: dict[str, Level],
) -> Level:
    """Rows below each other; a called graph gets room for its frame and title around all."""
    side, head, foot = (FRAME_SIDE, FRAME_TOP, FRAME_BOTTOM) if call else (0, 0, 0)
    at: dict[Place, Rect] = {}
    bottoms: dict[Place, float] = {}
    y: float = head
    for layer in layers:
        height = max(sizes.get(place, (0, 0))[1] for place in layer)
        for place in layer:
            width = _width(place, sizes)
            own = sizes.get(place, (0, height))[1] if place[0] != "bend" else height
            at[place] = Rect(side + xs[place] - width / 2, y, width, own)
            bottoms[place] = y + height
        # A row of ports alone needs no room of its own.
        y += height + (GAP_Y if height else GAP_Y / 3)
    y -= GAP_Y if layers and any(sizes.get(place, (0, 0))[1] for place in layers[-1]) else GAP_Y / 3
    pieces = {}
    for pair, bends in ways.items():
        pieces[pair] = [
            point
            for bend in bends
            for point in ((_middle(at[bend]), at[bend].y), (_middle(at[bend]), bottoms[bend]))
        ]
    right = max((rect.x + rect.width for rect in at.values()), default=0.0)
    level = Level(right + side, y + foot, at, pieces, inner, bottoms)
    # Ports stand in the frame itself.
    for place, rect in at.items():
        if place[0] == "in":
            rect.y = bottoms[place] = 0
        elif place[0] == "out":
            rect.y = bottoms[place] = level.height
    return level


# -- all levels together -----------------------------------------------------------------------------


def _collect(drawing: Drawing, level: Level, x: float, y: float) -> None:
    """Boxes and frames where they stand in the whole."""
    for (what, name), rect in level.at.items():
        rect.x, rect.y = rect.x + x, rect.y + y
        if what == "node":
            drawing.boxes[str(name)] = rect
        elif what == "graph":
            drawing.frames[str(name)] = rect
            _collect(drawing, level.inner[str(name)], rect.x, rect.y)
    level.bottom = {place: bottom + y for place, bottom in level.bottom.items()}
    level.pieces = {
        pair: [(to_x + x, to_y + y) for to_x, to_y in points] for pair, points in level.pieces.items()
    }


def _way(edge: Edge, level: Level, groups: Mapping[str, str]) -> list[Point]:
    """The points of one edge through all levels that it passes, upright pieces in pairs."""
    levels = {"": level}
    for call in [*_chain(edge[0], groups)[1:], *_chain(edge[1], groups)[1:]]:
        levels[call] = levels[groups[f"g:{call}"]].inner[call]
    points: list[Point] = []
    for call, start, end in _ends(edge, groups):
        here = levels[call]
        if start[0] == "node":
            box = here.at[start]
            points += [(_middle(box), box.y + box.height), (_middle(box), here.bottom[start])]
        elif start[0] == "graph":
            port = levels[str(start[1])].at["out", edge[0]]
            points += [(_middle(port), port.y), (_middle(port), here.bottom[start])]
        points += here.pieces[start, end]
        rect = here.at[end]
        if end[0] == "node":
            points.append((_middle(rect), rect.y))
        elif end[0] == "graph":
            port = levels[str(end[1])].at["in", edge[0]]
            points += [(_middle(port), rect.y), (_middle(port), rect.y)]
    return points
