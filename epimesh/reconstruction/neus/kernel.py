"""The inner loop of NeuS, fused and parallel over rays: march, weigh, composite, compare, and scatter gradients.

`torch_render.py` states the same mathematics in PyTorch; the tests hold the two together. Derivatives made by hand:

    d_i = min(0, log Phi(s f_{i+1}) - log Phi(s f_i))        section i, Phi the logistic function
    w_i = T_i (1 - exp d_i),   T_{i+1} = T_i exp d_i          the paper's alpha is 1 - exp d_i
    dL/dd_i = sum_{j>i} w_j v_j - T_{i+1} v_i                 with v_j = dL/dw_j
    N = sum_i w_i (g_i + g_{i+1}) / 2                         the ray's normal, g the slope of the trilinear distance
    dL/dN = -(n - N' (N' n)) / |N|                            for L = 1 - N' n, N' = N / |N|, n what it should be

Rays are split into a fixed number of lanes with a gradient buffer each, and buffers are summed in lane order, so the
result is the same for any number of threads.

Source: Wang et al., "NeuS" (arXiv:2106.10689), equations 10 to 13: the discrete opacity. Long et al., "Wonder3D"
(arXiv:2310.15008), section 4.3: the loss of normals.
"""

import numpy as np
from numba import prange

from epimesh.compiled import compiled
from epimesh.reconstruction.neus.rays import Buffers as Buffers  # machine code that was kept before looks for them here
from epimesh.reconstruction.neus.rays import Optics as Optics
from epimesh.reconstruction.neus.rays import Rays as Rays

HIT = 0.5  # coverage from which a ray shows a normal; that of a ray that passes by is the direction of almost nothing


@compiled()
def _span(origin, direction, radius):  # type: ignore[no-untyped-def]
    """Where a ray enters and leaves the cube of half side `radius`."""
    near, far = np.float32(0.0), np.float32(1e9)
    for axis in range(3):
        slope = direction[axis]
        if abs(slope) < 1e-9:
            slope = np.float32(1e-9)
        one, two = (-radius - origin[axis]) / slope, (radius - origin[axis]) / slope
        near, far = max(near, min(one, two)), min(far, max(one, two))
    return near, far


@compiled()
def _locate(x, y, z, side):  # type: ignore[no-untyped-def]
    """Cell index and fractions of a position in grid units."""
    top = side - 1.001
    x, y, z = min(max(x, 0.0), top), min(max(y, 0.0), top), min(max(z, 0.0), top)
    i, j, k = int(x), int(y), int(z)
    return (i * side + j) * side + k, np.float32(x - i), np.float32(y - j), np.float32(z - k)


@compiled()
def _mix(grid, channel, place, side, a, b, c):  # type: ignore[no-untyped-def]
    """Trilinear value of one channel."""
    row, sheet = place + side, place + side * side
    both = sheet + side
    low = (grid[place, channel] * (1 - c) + grid[place + 1, channel] * c) * (1 - b) + (
        grid[row, channel] * (1 - c) + grid[row + 1, channel] * c
    ) * b
    high = (grid[sheet, channel] * (1 - c) + grid[sheet + 1, channel] * c) * (1 - b) + (
        grid[both, channel] * (1 - c) + grid[both + 1, channel] * c
    ) * b
    return low * (1 - a) + high * a


@compiled()
def most_samples(radius, step):  # type: ignore[no-untyped-def]
    """Section ends that the longest ray through the cube can have; those along flat faces come near it."""
    return int(2 * np.sqrt(3.0) * radius / step) + 2


@compiled()
def march(grid, side, radius, origin, direction, optics, depths, value, place, fraction):  # type: ignore[no-untyped-def]
    """Section ends along one ray: skips empty space by the distance itself, then steps evenly through the band."""
    near, far = _span(origin, direction, radius)
    scale = (side - 1) / (2 * radius)
    t = near + optics.jitter * optics.step
    count = 0
    while t < far and count < len(depths):
        x = (origin[0] + t * direction[0] + radius) * scale
        y = (origin[1] + t * direction[1] + radius) * scale
        z = (origin[2] + t * direction[2] + radius) * scale
        cell, a, b, c = _locate(x, y, z, side)
        distance = _mix(grid, 0, cell, side, a, b, c)
        if distance > optics.band:
            t += max(distance - optics.band, optics.step)
            continue
        depths[count], place[count], value[count, 0] = t, cell, distance
        fraction[count, 0], fraction[count, 1], fraction[count, 2] = a, b, c
        for channel in range(1, 4):
            value[count, channel] = _mix(grid, channel, cell, side, a, b, c)
        count += 1
        if distance < -optics.band:
            break
        t += optics.step
    return count


@compiled()
def _log_phi(x):  # type: ignore[no-untyped-def]
    """Logarithm of the logistic function, without overflow."""
    return min(x, 0.0) - np.log1p(np.exp(-abs(x)))


@compiled()
def _composite(value, count, sharpness, weight, passed, rendered):  # type: ignore[no-untyped-def]
    """Weights of the sections, light that passes behind each, and the pixel: colour on white and coverage."""
    through = np.float32(1.0)
    rendered[0], rendered[1], rendered[2] = 0.0, 0.0, 0.0
    before = _log_phi(sharpness * value[0, 0])
    for i in range(count - 1):
        after = _log_phi(sharpness * value[i + 1, 0])
        kept = np.exp(min(0.0, after - before))
        before = after
        weight[i] = through * (1 - kept)
        through *= kept
        passed[i] = through
        for channel in range(3):
            rendered[channel] += weight[i] * 0.5 * (value[i, channel + 1] + value[i + 1, channel + 1])
    for channel in range(3):
        rendered[channel] += through
    rendered[3] = 1 - through


@compiled()
def _judge(rendered, target, weight, optics, slope):  # type: ignore[no-untyped-def]
    """The loss of one pixel; `slope` becomes its derivative by colour and coverage."""
    loss = np.float32(0.0)
    for channel in range(3):
        error = rendered[channel] - target[channel]
        size = np.sqrt(error * error + optics.charbonnier**2)
        loss += optics.rgb_weight * (size - optics.charbonnier)
        slope[channel] = weight * optics.rgb_weight * error / size
    error = rendered[3] - target[3]
    slope[3] = weight * optics.mask_weight * 2 * error
    return weight * (loss + optics.mask_weight * error * error)


@compiled()
def _gradient(grid, place, side, scale, fraction, out):  # type: ignore[no-untyped-def]
    """Slope of the trilinear distance within one cell, per scene unit."""
    a, b, c = fraction[0], fraction[1], fraction[2]
    row, sheet = place + side, place + side * side
    both = sheet + side
    near, near_c, near_b, near_bc = grid[place, 0], grid[place + 1, 0], grid[row, 0], grid[row + 1, 0]
    far, far_c, far_b, far_bc = grid[sheet, 0], grid[sheet + 1, 0], grid[both, 0], grid[both + 1, 0]
    out[0] = ((far - near) * (1 - c) + (far_c - near_c) * c) * (1 - b) + (
        (far_b - near_b) * (1 - c) + (far_bc - near_bc) * c
    ) * b
    out[1] = ((near_b - near) * (1 - c) + (near_bc - near_c) * c) * (1 - a) + (
        (far_b - far) * (1 - c) + (far_bc - far_c) * c
    ) * a
    out[2] = ((near_c - near) * (1 - b) + (near_bc - near_b) * b) * (1 - a) + (
        (far_c - far) * (1 - b) + (far_bc - far_b) * b
    ) * a
    out *= scale


@compiled()
def _judge_normal(gradient, count, weight, facing, ray_weight, optics, by_normal):  # type: ignore[no-untyped-def]
    """How wrong the normal of one ray is, times what it counts, and its loss; `by_normal` becomes its derivative."""
    normal = np.zeros(3, np.float32)
    for i in range(count - 1):
        for axis in range(3):
            normal[axis] += weight[i] * 0.5 * (gradient[i, axis] + gradient[i + 1, axis])
    length = max(np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2), np.float32(1e-6))
    cosine = (normal[0] * facing[0] + normal[1] * facing[1] + normal[2] * facing[2]) / length
    error = facing[3] * (1 - cosine)
    counted = ray_weight * optics.normal_weight * facing[3] if error <= optics.normal_limit else np.float32(0.0)
    for axis in range(3):
        by_normal[axis] = -counted * (facing[axis] - cosine * normal[axis] / length) / length
    return error, counted * (1 - cosine)


@compiled()
def _turn(gradient, count, weight, by_normal, extra, turn):  # type: ignore[no-untyped-def]
    """Derivatives of the loss of the normal: by the weight of each section (`extra`), by each sample's slope."""
    turn[:count] = 0.0
    for i in range(count - 1):
        extra[i] = 0.0
        for axis in range(3):
            extra[i] += by_normal[axis] * 0.5 * (gradient[i, axis] + gradient[i + 1, axis])
            turn[i, axis] += 0.5 * weight[i] * by_normal[axis]
            turn[i + 1, axis] += 0.5 * weight[i] * by_normal[axis]


@compiled()
def _differentiate(value, count, sharpness, weight, passed, slope, extra, back):  # type: ignore[no-untyped-def]
    """Derivatives of the loss by distance and colour of each sample (`back`), and by the sharpness (returned).

    `extra` is what the weight of each section changes beside colours and coverage.
    """
    back[:count] = 0.0
    behind, by_sharpness = np.float32(0.0), np.float32(0.0)
    for i in range(count - 2, -1, -1):
        gain = slope[3] + extra[i]
        for channel in range(3):
            gain += slope[channel] * (0.5 * (value[i, channel + 1] + value[i + 1, channel + 1]) - 1)
            back[i, channel + 1] += 0.5 * weight[i] * slope[channel]
            back[i + 1, channel + 1] += 0.5 * weight[i] * slope[channel]
        if value[i + 1, 0] < value[i, 0]:
            by_log = behind - passed[i] * gain
            outside_next = 1 / (1 + np.exp(sharpness * value[i + 1, 0]))
            outside_here = 1 / (1 + np.exp(sharpness * value[i, 0]))
            back[i + 1, 0] += by_log * sharpness * outside_next
            back[i, 0] -= by_log * sharpness * outside_here
            by_sharpness += by_log * (value[i + 1, 0] * outside_next - value[i, 0] * outside_here)
        behind += weight[i] * gain
    return by_sharpness


@compiled()
def _touch(lane, cell, iteration, buffers):  # type: ignore[no-untyped-def]
    """Notes that a cell gets a gradient."""
    if buffers.stamp[lane, cell] != iteration:
        buffers.stamp[lane, cell] = iteration
        buffers.touched[lane, buffers.counts[lane]] = cell
        buffers.counts[lane] += 1


@compiled()
def _scatter(lane, count, place, fraction, back, side, iteration, buffers):  # type: ignore[no-untyped-def]
    """Adds the derivatives of the samples to the cells around them and notes which cells were touched."""
    for n in range(count):
        if abs(back[n, 0]) + abs(back[n, 1]) + abs(back[n, 2]) + abs(back[n, 3]) < 1e-9:
            continue
        for corner in range(8):
            dx, dy, dz = corner >> 2, (corner >> 1) & 1, corner & 1
            share = (fraction[n, 0] if dx else 1 - fraction[n, 0]) * (fraction[n, 1] if dy else 1 - fraction[n, 1])
            share *= fraction[n, 2] if dz else 1 - fraction[n, 2]
            cell = place[n] + (dx * side + dy) * side + dz
            _touch(lane, cell, iteration, buffers)
            for channel in range(4):
                buffers.gradient[lane, cell, channel] += share * back[n, channel]


@compiled()
def _scatter_turn(lane, count, place, fraction, turn, side, scale, iteration, buffers):  # type: ignore[no-untyped-def]
    """The same for derivatives by the slopes of the distance."""
    for n in range(count):
        for corner in range(8):
            dx, dy, dz = corner >> 2, (corner >> 1) & 1, corner & 1
            a = fraction[n, 0] if dx else 1 - fraction[n, 0]
            b = fraction[n, 1] if dy else 1 - fraction[n, 1]
            c = fraction[n, 2] if dz else 1 - fraction[n, 2]
            cell = place[n] + (dx * side + dy) * side + dz
            _touch(lane, cell, iteration, buffers)
            change = (
                (2 * dx - 1) * b * c * turn[n, 0]
                + (2 * dy - 1) * a * c * turn[n, 1]
                + (2 * dz - 1) * a * b * turn[n, 2]
            )
            buffers.gradient[lane, cell, 0] += scale * change


@compiled(parallel=True)
def render_and_backpropagate(grid, side, radius, rays, optics, buffers, iteration):  # type: ignore[no-untyped-def]
    """Renders all rays, compares, and leaves loss and gradients in `buffers`.

    Args:
        grid: side^3 x 4: signed distance and colour of every cell, z fastest.
        side: cells along each axis.
        radius: half side of the cube.
        rays: what is seen where.
        optics: how it is rendered and judged.
        buffers: outputs.
        iteration: a number not used before with these buffers.
    """
    total = len(rays.origins)
    # Plain names: numba drops writes to single elements of a named tuple's arrays inside prange.
    counts, samples, losses, by_sharpness = buffers.counts, buffers.samples, buffers.loss, buffers.sharpness_gradient
    pixels, normal_errors = buffers.rendered, buffers.normal_error
    lanes = len(counts)
    share = (total + lanes - 1) // lanes
    most = most_samples(radius, optics.step)
    scale = np.float32((side - 1) / (2 * radius))
    for lane in prange(lanes):
        counts[lane] = 0
        depths = np.empty(most, np.float32)
        value = np.empty((most, 4), np.float32)
        back = np.empty((most, 4), np.float32)
        place = np.empty(most, np.int64)
        fraction = np.empty((most, 3), np.float32)
        gradient, turn = np.empty((most, 3), np.float32), np.empty((most, 3), np.float32)
        weight, passed, extra = np.empty(most, np.float32), np.empty(most, np.float32), np.empty(most, np.float32)
        slope, by_normal = np.empty(4, np.float32), np.empty(3, np.float32)
        for n in range(lane * share, min(total, (lane + 1) * share)):
            normal_errors[n] = -1.0
            count = march(
                grid, side, radius, rays.origins[n], rays.directions[n], optics, depths, value, place, fraction
            )
            samples[n] = count
            if count < 2:
                pixels[n, 0], pixels[n, 1], pixels[n, 2], pixels[n, 3] = 1.0, 1.0, 1.0, 0.0
                losses[n] = _judge(pixels[n], rays.target[n], rays.weight[n], optics, slope)
                by_sharpness[n] = 0.0
                continue
            _composite(value, count, optics.sharpness, weight, passed, pixels[n])
            losses[n] = _judge(pixels[n], rays.target[n], rays.weight[n], optics, slope)
            extra[:count] = 0.0
            faces = optics.normal_weight > 0 and rays.facing[n, 3] > 0 and pixels[n, 3] > HIT
            if faces:
                for i in range(count):
                    _gradient(grid, place[i], side, scale, fraction[i], gradient[i])
                normal_errors[n], loss = _judge_normal(
                    gradient, count, weight, rays.facing[n], rays.weight[n], optics, by_normal
                )
                losses[n] += loss
                _turn(gradient, count, weight, by_normal, extra, turn)
            by_sharpness[n] = _differentiate(value, count, optics.sharpness, weight, passed, slope, extra, back)
            _scatter(lane, count, place, fraction, back, side, iteration, buffers)
            if faces:
                _scatter_turn(lane, count, place, fraction, turn, side, scale, iteration, buffers)
