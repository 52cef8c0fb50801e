/* Where the names of points stand, so that each is there and none lies on another. */

function box(x, y, width, height) {
  return { left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2 };
}

function overlap(a, b) {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}

/**
 * Return a place for the name of every point and, where it is not beside its mark, the ends of the
 * line that leads to it. Names keep off marks, lines and each other while there is room in the area: a line
 * crosses others before a name does. They keep off the whiskers where there is room nearby.
 * points: {x, y, width: of the name}; scale: pixels of the canvas in one of the page
 */
function placeLabels(points, area, whiskers, scale) {
  const taken = points.map(({ x, y }) => box(x, y, 12 * scale, 12 * scale));
  const inside = ({ place }) =>
    place.left >= area.left &&
    place.right <= area.right &&
    place.top >= area.top &&
    place.bottom <= area.bottom;
  return points.map((point, index) => {
    const others = taken.filter((_, other) => other !== index);
    const hits = ({ place, leader }) => {
      const covered = taken.reduce((sum, other) => sum + overlap(place, other), 0);
      const dots = leader ? onLeader(leader, scale) : [];
      return 1000 * covered + dots.filter((dot) => others.some((other) => overlap(dot, other))).length;
    };
    const crosses = ({ place }) => whiskers.some((other) => overlap(place, other));
    const candidates = labelPlaces(point, area, scale).filter(inside);
    const free = candidates.filter((candidate) => hits(candidate) === 0);
    const chosen =
      free.find((candidate) => candidate.away < 70 * scale && !crosses(candidate)) ||
      free[0] ||
      candidates.sort((a, b) => hits(a) - hits(b))[0] ||
      labelPlaces(point, area, scale)[0];
    taken.push(chosen.place, ...(chosen.leader ? onLeader(chosen.leader, scale) : []));
    return chosen;
  });
}

/** Places beside a point, and then ever farther away from it. */
function labelPlaces({ x, y, width }, area, scale) {
  const [near, high] = [10 * scale, 15 * scale];
  const beside = [
    [near + width / 2, 0],
    [-near - width / 2, 0],
    [0, -high],
    [0, high],
    [near + width / 2, -high * 0.8],
    [near + width / 2, high * 0.8],
    [-near - width / 2, -high * 0.8],
    [-near - width / 2, high * 0.8],
  ].map(([dx, dy]) => ({ place: box(x + dx, y + dy, width, high), leader: null, away: 0 }));
  const farther = [];
  const reach = Math.hypot(area.right - area.left, area.bottom - area.top);
  for (let away = 26 * scale; away < reach; away += 12 * scale) {
    for (let turn = 0; turn < 24; turn += 1) {
      const angle = (turn * Math.PI) / 12;
      const [endX, endY] = [x + away * Math.cos(angle), y + away * Math.sin(angle)];
      const side = Math.abs(Math.cos(angle)) < 0.2 ? 0 : Math.sign(Math.cos(angle));
      const below = side ? 0 : Math.sign(Math.sin(angle));
      farther.push({
        place: box(endX + (side * (width + 4 * scale)) / 2, endY + (below * high) / 2, width, high),
        leader: [
          [x + 7 * scale * Math.cos(angle), y + 7 * scale * Math.sin(angle)],
          [endX, endY],
        ],
        away,
      });
    }
  }
  return [...beside, ...farther];
}

/** Small boxes along a line. */
function onLeader([[fromX, fromY], [toX, toY]], scale) {
  const steps = Math.max(1, Math.round(Math.hypot(toX - fromX, toY - fromY) / (5 * scale)));
  return Array.from({ length: steps }, (_, step) => {
    const share = (step + 0.5) / steps;
    return box(fromX + share * (toX - fromX), fromY + share * (toY - fromY), 2 * scale, 2 * scale);
  });
}
