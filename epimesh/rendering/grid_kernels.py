"""What rays meet on a grid of distances: compiled loops for those who ask which camera sees which place."""

import numpy as np
from numba import prange

from epimesh.compiled import compiled


@compiled()
def _distance(field, radius, x, y, z):  # type: ignore[no-untyped-def]
    """Trilinear distance at a world point."""
    side = field.shape[0]
    scale = (side - 1) / (2 * radius)
    x, y, z = (x + radius) * scale, (y + radius) * scale, (z + radius) * scale
    x, y, z = min(max(x, 0.0), side - 1.001), min(max(y, 0.0), side - 1.001), min(max(z, 0.0), side - 1.001)
    i, j, k = int(x), int(y), int(z)
    a, b, c = x - i, y - j, z - k
    low = (field[i, j, k] * (1 - c) + field[i, j, k + 1] * c) * (1 - b)
    low += (field[i, j + 1, k] * (1 - c) + field[i, j + 1, k + 1] * c) * b
    high = (field[i + 1, j, k] * (1 - c) + field[i + 1, j, k + 1] * c) * (1 - b)
    high += (field[i + 1, j + 1, k] * (1 - c) + field[i + 1, j + 1, k + 1] * c) * b
    return low * (1 - a) + high * a


@compiled()
def _hidden(field, radius, start, towards, spacing):  # type: ignore[no-untyped-def]
    """Whether the surface lies between a place on it and the camera."""
    t = 3 * spacing
    while t < 4 * radius:
        x, y, z = start[0] + t * towards[0], start[1] + t * towards[1], start[2] + t * towards[2]
        if max(abs(x), max(abs(y), abs(z))) > radius:
            return False
        distance = _distance(field, radius, x, y, z)
        if distance < -0.25 * spacing:
            return True
        t += max(distance, 0.75 * spacing)
    return False


@compiled()
def _place_on_surface(field, radius, position, fine, normal, start):  # type: ignore[no-untyped-def]
    """The nearest place on the surface (`start`) and its unit normal, by one step along the gradient."""
    x, y, z = position
    normal[0] = _distance(field, radius, x + fine, y, z) - _distance(field, radius, x - fine, y, z)
    normal[1] = _distance(field, radius, x, y + fine, z) - _distance(field, radius, x, y - fine, z)
    normal[2] = _distance(field, radius, x, y, z + fine) - _distance(field, radius, x, y, z - fine)
    normal /= np.sqrt((normal**2).sum()) + 1e-9
    start[0], start[1], start[2] = x, y, z
    start -= _distance(field, radius, x, y, z) * normal


@compiled()
def _pixel(projection, place, height, width):  # type: ignore[no-untyped-def]
    """Row and column at which a place appears; -1, -1 beside the image or behind the camera."""
    depth = (projection[2, :3] * place).sum() + projection[2, 3]
    if depth < 1e-6:
        return -1, -1
    column = int(np.floor(((projection[0, :3] * place).sum() + projection[0, 3]) / depth))
    row = int(np.floor(((projection[1, :3] * place).sum() + projection[1, 3]) / depth))
    if column < 0 or row < 0 or column >= width or row >= height:
        return -1, -1
    return row, column


@compiled(parallel=True)
def add_view(sums, field, radius, eye, projection, rgb, view_weight):  # type: ignore[no-untyped-def]
    """Adds one view's weighted colours to the cells near the surface. `eye`: position or direction, and which."""
    cells = sums.shape[0]
    height, width = rgb.shape[:2]
    step = 2 * radius / (cells - 1)
    fine = 2 * radius / (field.shape[0] - 1)
    for i in prange(cells):
        normal, start, towards = np.empty(3), np.empty(3), np.empty(3)
        for j in range(cells):
            for k in range(cells):
                position = (i * step - radius, j * step - radius, k * step - radius)
                if abs(_distance(field, radius, position[0], position[1], position[2])) > 2.5 * step:
                    continue
                _place_on_surface(field, radius, position, fine, normal, start)
                towards[:] = eye[:3] - start * (1 - eye[3])
                towards /= np.sqrt((towards**2).sum()) + 1e-9
                facing = (normal * towards).sum()
                row, column = _pixel(projection, start, height, width)
                if facing < 0.1 or row < 0 or _hidden(field, radius, start, towards, fine):
                    continue
                weight = view_weight * facing * facing
                for channel in range(3):
                    sums[i, j, k, channel] += weight * rgb[row, column, channel]
                sums[i, j, k, 3] += weight


@compiled(parallel=True)
def reaches(field, radius, origins, directions, near):  # type: ignore[no-untyped-def]
    """Per ray, whether it comes to where the field is below `near`, stepping by no less than that."""
    reached = np.zeros(len(origins), np.bool_)
    for n in prange(len(origins)):
        start, towards = origins[n], directions[n]
        t, far = 0.0, 1e9
        for axis in range(3):
            slope = towards[axis] if abs(towards[axis]) > 1e-9 else 1e-9
            one, two = (-radius - start[axis]) / slope, (radius - start[axis]) / slope
            t, far = max(t, min(one, two)), min(far, max(one, two))
        while t < far:
            distance = _distance(
                field, radius, start[0] + t * towards[0], start[1] + t * towards[1], start[2] + t * towards[2]
            )
            if distance < near:
                reached[n] = True
                break
            t += max(distance - near, near)
    return reached


@compiled(parallel=True)
def first_crossings(field, radius, origins, directions, near, far, least, refinements):  # type: ignore[no-untyped-def]
    """Per ray, the length to where the distance is first not positive between near and far; -1 where it never is.

    As `surface_march.first_crossings`, for distances on a grid.
    """
    found = np.full(len(origins), -1.0, np.float32)
    for n in prange(len(origins)):
        ox, oy, oz = float(origins[n, 0]), float(origins[n, 1]), float(origins[n, 2])
        dx, dy, dz = float(directions[n, 0]), float(directions[n, 1]), float(directions[n, 2])
        low = high = float(near[n])
        end, inside = float(far[n]), False
        while low < end:
            distance = _distance(field, radius, ox + high * dx, oy + high * dy, oz + high * dz)
            inside = distance <= 0
            if inside or high >= end:
                break
            low, high = high, min(high + max(distance, least), end)
        if not inside:
            continue
        for _ in range(refinements):
            middle = (low + high) / 2
            if _distance(field, radius, ox + middle * dx, oy + middle * dy, oz + middle * dz) <= 0:
                high = middle
            else:
                low = middle
        outer = max(_distance(field, radius, ox + low * dx, oy + low * dy, oz + low * dz), 0.0)
        inner = min(_distance(field, radius, ox + high * dx, oy + high * dy, oz + high * dz), 0.0)
        share = outer / max(outer - inner, 1e-12)
        found[n] = low + min(share, 1.0) * (high - low)
    return found
