"""GLSL. One program draws every material; another draws depth only, for shadows."""

VERTEX = """
#version 420
invariant gl_Position;
uniform mat4 view_projection;
in vec3 in_position; in vec3 in_normal; in vec2 in_uv; in vec3 in_place; in vec4 in_light; in vec2 in_extra;
out vec3 position; out vec3 normal; out vec2 uv; out vec3 place; out vec4 light; out vec2 extra;
void main() {
    position = in_position; normal = in_normal; uv = in_uv; place = in_place; light = in_light; extra = in_extra;
    gl_Position = view_projection * vec4(in_position, 1.0);
}
"""

COMMON = """
uniform int material;
uniform float pass_number;
uniform float neckline;
uniform float hair_end;
uniform int skin_front_only;
uniform float alpha_scale;
uniform sampler2D colour_map;
in vec3 position; in vec3 normal; in vec2 uv; in vec3 place; in vec4 light; in vec2 extra;

const int SKIN = 0, EYE = 1, CORNEA = 2, MOUTH = 3, CARD = 4, HAIR = 5, SHIRT = 6, FRAME = 7, LENS = 8;

float hash(vec3 p) {
    p = fract(p * vec3(0.1031, 0.1030, 0.0973));
    p += dot(p, p.yxz + 33.33);
    return fract((p.x + p.y) * p.z);
}
float plane_noise(vec3 i, vec2 f) {
    float low = mix(hash(i), hash(i + vec3(1, 0, 0)), f.x);
    return mix(low, mix(hash(i + vec3(0, 1, 0)), hash(i + vec3(1, 1, 0)), f.x), f.y);
}
float noise(vec3 p) {
    vec3 i = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    return mix(plane_noise(i, f.xy), plane_noise(i + vec3(0, 0, 1), f.xy), f.z);
}
/* The collar is a tilted plane around the neck, raised over the shoulders so that it crosses them steeply. */
float collar_height() {
    float t = clamp((0.80 - place.z) / 1.15, 0.0, 1.0);
    float side = max(abs(place.x) - 0.40, 0.0);
    return mix(neckline, 6.10, t) + 0.45 * side * side;
}
/* Stochastic transparency: a fragment is kept or dropped, and the mean over the passes is the blend. */
bool dropped(float alpha) {
    float h = hash(vec3(floor(gl_FragCoord.xy), float(gl_PrimitiveID / 2 % 977)));
    return alpha < fract(h + pass_number * 0.61803399) + 0.002;
}
bool cut_away() {
    if (material == SHIRT) return place.y > collar_height();
    if (material == SKIN) return place.y < collar_height() - 0.25 || (abs(place.x) > 0.95 && place.y < 6.3);
    if (material == EYE) return texture(colour_map, uv).a < 0.5;
    if (material == CORNEA) return texture(colour_map, uv).a >= 0.5;
    if (material == HAIR && place.y < hair_end + 0.25 * noise(place * vec3(30.0, 2.0, 30.0))) return true;
    if (material == CARD || material == HAIR) return dropped(texture(colour_map, uv, -0.7).a * alpha_scale);
    return false;
}
"""

DEPTH_FRAGMENT = (
    "#version 420\n"
    + COMMON
    + """
void main() { if (cut_away() || (skin_front_only > 0 && material == SKIN && !gl_FrontFacing)) discard; }
"""
)

FRAGMENT = (
    "#version 420\nlayout(early_fragment_tests) in;\n"
    + COMMON
    + """
uniform sampler2D mask_map;
uniform sampler2DShadow shadow_map;
uniform mat4 shadow_matrix;
uniform vec3 camera, key_direction, key_colour, tint, hair_tint;
uniform vec3 key_centre, key_side, key_up;
uniform float hair_gloss, key_tangent, stubble, hair_mean;
uniform vec3 harmonics[9];
uniform int lamp_count;
uniform vec4 lamp_shape[6];
uniform vec3 lamp_colour[6];
uniform vec3 sky, ground;
layout(location = 0) out vec4 direct;
layout(location = 1) out vec4 irradiance;
layout(location = 2) out vec4 albedo_out;

vec3 unshadowed(vec3 n) {
    return max(harmonics[0] + harmonics[1] * n.x + harmonics[2] * n.y + harmonics[3] * n.z + harmonics[4] * n.x * n.y
        + harmonics[5] * n.y * n.z + harmonics[6] * n.z * n.x + harmonics[7] * (n.x * n.x - n.y * n.y)
        + harmonics[8] * (3.0 * n.z * n.z - 1.0), vec3(0.01));
}
vec3 surroundings(vec3 r, float roughness) {
    float up = pow(r.y * 0.5 + 0.5, 1.2);
    vec3 sum = mix(ground, sky, up);
    float widen = roughness * roughness * 1.6;
    for (int i = 0; i < lamp_count; i++) {
        float s = lamp_shape[i].w / (1.0 + lamp_shape[i].w * widen);
        sum += lamp_colour[i] * (s / lamp_shape[i].w) * exp(s * (dot(r, lamp_shape[i].xyz) - 1.0));
    }
    return sum;
}
/* The key lamp as a window with bars, seen in a mirror. */
float window(vec3 r) {
    float depth = dot(r, key_centre);
    if (depth <= 0.0) return 0.0;
    vec2 p = vec2(dot(r, key_side), dot(r, key_up)) / depth / key_tangent;
    vec2 edge = smoothstep(vec2(1.1), vec2(0.9), abs(p));
    return edge.x * edge.y;
}
float lit(vec3 n, float bias) {
    vec4 p = shadow_matrix * vec4(position + n * bias, 1.0);
    vec3 q = p.xyz * 0.5 + 0.5;
    float sum = 0.0;
    float texel = 0.7 / 2048.0;
    for (int i = 0; i < 4; i++) {
        vec2 o = vec2(float(i & 1) * 2.0 - 1.0, float(i >> 1) * 2.0 - 1.0) * texel;
        sum += texture(shadow_map, vec3(q.xy + o, q.z - 0.0006));
    }
    return sum * 0.25;
}
float ggx(vec3 n, vec3 v, vec3 l, float roughness, float f0) {
    vec3 h = normalize(v + l);
    float nl = max(dot(n, l), 0.0), nv = max(dot(n, v), 0.05), nh = max(dot(n, h), 0.0), vh = max(dot(v, h), 0.0);
    float a = roughness * roughness, a2 = a * a;
    float d = a2 / (3.14159265 * pow(nh * nh * (a2 - 1.0) + 1.0, 2.0));
    float k = a * 0.5;
    float g = 1.0 / ((nl * (1.0 - k) + k) * (nv * (1.0 - k) + k) * 4.0);
    return d * g * (f0 + (1.0 - f0) * pow(1.0 - vh, 5.0)) * nl * 3.14159265;
}
float fresnel(float cosine, float f0, float roughness) {
    return f0 + (max(1.0 - roughness, f0) - f0) * pow(1.0 - clamp(cosine, 0.0, 1.0), 5.0);
}
/* Mikkelsen's bump mapping from screen derivatives; height in decimetres. */
vec3 bumped(vec3 n, float height) {
    vec3 px = dFdx(position), py = dFdy(position);
    float hx = dFdx(height), hy = dFdy(height);
    vec3 r1 = cross(py, n), r2 = cross(n, px);
    float det = dot(px, r1);
    vec3 gradient = sign(det) * (hx * r1 + hy * r2);
    return normalize(abs(det) * n - gradient);
}
void plain(vec3 colour) { direct = vec4(colour, 1.0); irradiance = vec4(0.0); albedo_out = vec4(0.0); }

void skin(vec3 n0, vec3 v) {
    vec4 masks = texture(mask_map, uv, -0.8);
    vec3 albedo = texture(colour_map, uv, -0.8).rgb;
    vec3 n = bumped(n0, (masks.g - 0.5) * 0.022);
    float lips = masks.r, inside = masks.a;
    float strands = noise(place * vec3(55.0, 18.0, 55.0)) * 0.6 + noise(place * vec3(130.0, 40.0, 130.0)) * 0.4;
    float scalp = smoothstep(0.15, 1.1, extra.x + (strands - 0.5) * 0.5) * 0.7;
    albedo = mix(albedo, hair_tint * 0.55, scalp);
    float dots = smoothstep(0.45, 0.8, noise(place * vec3(110.0, 75.0, 110.0)));
    float beard = stubble * extra.y * (1.0 - lips) * (0.45 + 0.55 * dots);
    albedo = mix(albedo, albedo * 0.35 + hair_tint * 0.25, clamp(beard, 0.0, 1.0));
    vec3 ratio = clamp(unshadowed(n) / unshadowed(n0), 0.5, 1.8);
    float shadow = lit(n0, 0.018);
    float nl = dot(n, key_direction);
    vec3 wrap = vec3(0.16, 0.06, 0.04);
    vec3 diffuse = clamp((vec3(nl) + wrap) / (1.0 + wrap), 0.0, 1.0);
    irradiance = vec4(light.rgb * ratio + key_colour * diffuse * shadow, 1.0);
    albedo_out = vec4(albedo, 1.0);
    float rough = mix(0.50, 0.34, lips) + 0.12 * scalp;
    float f0 = 0.028 * (1.0 - 0.6 * inside);
    float gloss = mix(ggx(n, v, key_direction, rough, f0), ggx(n, v, key_direction, rough * 0.62, f0), 0.22) * shadow;
    float open = light.a * light.a;
    vec3 r = reflect(-v, n);
    vec3 around = surroundings(r, rough) * fresnel(dot(n, v), f0, rough) * 0.75 * open;
    direct = vec4((key_colour * gloss + around) * (1.0 - 0.7 * scalp) * (1.0 - 0.5 * stubble * extra.y), 1.0);
}
void eye(vec3 n, vec3 v) {
    vec3 albedo = texture(colour_map, uv, -0.5).rgb;
    float centre = min(distance(uv, vec2(0.287, 0.297)), distance(uv, vec2(0.705, 0.702)));
    float white = smoothstep(0.108, 0.122, centre);
    vec3 iris = mix(albedo, vec3(dot(albedo, vec3(0.3, 0.5, 0.2))), 0.45) * 0.30;
    albedo = mix(iris, albedo * vec3(0.80, 0.76, 0.74), white);
    float shadow = lit(n, 0.02);
    float nl = max(dot(n, key_direction) * 0.75 + 0.25, 0.0);
    plain(albedo * (light.rgb + key_colour * nl * shadow));
    float spec = ggx(n, v, key_direction, 0.22, 0.03) * shadow;
    vec3 around = surroundings(reflect(-v, n), 0.2) * fresnel(dot(n, v), 0.025, 0.2);
    direct.rgb += key_colour * spec + around * light.a * light.a;
}
void cornea(vec3 n, vec3 v) {
    vec3 r = reflect(-v, n);
    float shadow = lit(n, 0.05);
    float f = fresnel(dot(n, v), 0.03, 0.05);
    float solid = 4.0 * key_tangent * key_tangent;
    vec3 lamp = key_colour * 3.14159265 / solid * window(r) * shadow;
    float lashes = smoothstep(0.55, 0.05, r.y);
    plain(f * (min(lamp, vec3(40.0)) + surroundings(r, 0.1) * light.a * lashes));
    direct.a = 0.0;
}
void hair(vec3 n, vec3 v) {
    vec4 texel = texture(colour_map, uv, -0.7);
    float lum = dot(texel.rgb, vec3(0.333)) / hair_mean;
    float fine = noise(place * vec3(95.0, 4.0, 95.0)) * 0.6 + noise(place * vec3(38.0, 1.5, 38.0)) * 0.4;
    vec3 colour = tint * pow(clamp(lum, 0.02, 3.0), 0.85) * (0.55 + 0.9 * fine);
    if (dot(n, v) < 0.0) n = -n;
    float shadow = lit(n, 0.05);
    vec3 down = normalize(vec3(0.0, -1.0, 0.12));
    vec3 t = normalize(down - n * dot(n, down));
    float shift = (fine - 0.5) * 0.35 + (clamp(lum, 0.0, 2.0) - 1.0) * 0.10;
    vec3 l = key_direction;
    float diffuse = clamp((dot(n, l) + 0.35) / 1.35, 0.0, 1.0) * 0.8;
    vec3 sum = colour * (light.rgb * (0.55 + 0.45 * light.a) + key_colour * diffuse * shadow);
    vec3 h = normalize(l + v);
    float th1 = dot(normalize(t + n * (shift - 0.05)), h), th2 = dot(normalize(t + n * (shift + 0.12)), h);
    float s1 = pow(max(1.0 - th1 * th1, 0.0), 70.0), s2 = pow(max(1.0 - th2 * th2, 0.0), 18.0);
    float facing = smoothstep(-0.1, 0.5, dot(n, l));
    sum += key_colour * shadow * facing * (vec3(0.055) * s1 + colour * 0.55 * s2) * hair_gloss;
    vec3 r = reflect(-v, normalize(n + t * shift));
    vec3 sheen = (vec3(0.012) + colour * 0.12) * hair_gloss * smoothstep(0.0, 0.8, lum);
    sum += surroundings(r, 0.5) * light.a * light.a * sheen;
    plain(sum);
}
void shirt(vec3 n0, vec3 v) {
    float line = collar_height() - place.y;
    float band = smoothstep(0.13, 0.115, line);
    float folds = noise(place * vec3(1.7, 0.9, 1.7)) * 0.10 + noise(place * vec3(3.6, 1.6, 3.6) + 7.0) * 0.045;
    float ribs = band * 0.006 * sin(atan(place.x, place.z) * 240.0);
    float weave = 0.004 * noise(place * 90.0);
    float seam = -0.02 * exp(-pow((line - 0.125) / 0.012, 2.0)) + 0.012 * band;
    vec3 n = bumped(n0, folds * (1.0 - band) + ribs + weave + seam);
    float shadow = lit(n0, 0.02);
    float nl = clamp((dot(n, key_direction) + 0.1) / 1.1, 0.0, 1.0);
    vec3 ratio = clamp(unshadowed(n) / unshadowed(n0), 0.4, 2.0);
    vec3 colour = tint * (0.93 + 0.14 * noise(place * 120.0));
    float sheen = pow(1.0 - clamp(dot(n, v), 0.0, 1.0), 3.0) * 0.15;
    plain((colour + sheen * sqrt(tint) * 0.5) * (light.rgb * ratio + key_colour * nl * shadow));
}
void main() {
    if (material == CORNEA && cut_away()) discard;
    vec3 v = normalize(camera - position);
    vec3 n = normalize(normal);
    if (material == SKIN) skin(n, v);
    else if (material == EYE) eye(n, v);
    else if (material == CORNEA) cornea(n, v);
    else if (material == HAIR) hair(n, v);
    else if (material == SHIRT) shirt(n, v);
    else if (material == MOUTH) {
        vec3 albedo = texture(colour_map, uv).rgb * tint;
        float shadow = lit(n, 0.03);
        float wrapped = max(dot(n, key_direction) * 0.7 + 0.3, 0.0);
        plain(albedo * (light.rgb + 0.10 * unshadowed(n) + key_colour * wrapped * shadow));
        direct.rgb += key_colour * ggx(n, v, key_direction, 0.25, 0.04) * shadow;
        direct.rgb += surroundings(reflect(-v, n), 0.3) * 0.04 * light.a;
    } else if (material == CARD) {
        plain(tint * (light.rgb + key_colour * 0.6 * lit(vec3(0.0, 0.0, 1.0), 0.05)));
    } else if (material == FRAME) {
        float shadow = lit(n, 0.02);
        plain(tint * (light.rgb + key_colour * max(dot(n, key_direction), 0.0) * shadow));
        direct.rgb += key_colour * ggx(n, v, key_direction, 0.28, 0.05) * shadow
            + surroundings(reflect(-v, n), 0.25) * fresnel(dot(n, v), 0.05, 0.25) * light.a;
    } else {
        vec3 r = reflect(-v, n);
        plain(surroundings(r, 0.05) * fresnel(dot(n, v), 0.02, 0.0) * 0.6);
        direct.a = 0.0;
    }
}
"""
)
