/* render_scene.c - a picture of a MuJoCo scene, drawn in memory (OSMesa), as a PNG on stdout. For
 * the docs; nothing else needs it (libosmesa6-dev, libpng-dev).
 *
 *   cc -O2 tools/render_scene.c -o /tmp/render -lmujoco -lOSMesa -lpng -lm
 *   /tmp/render SCENE.xml X DISTANCE AZIMUTH ELEVATION >scene.png
 *
 * X: where the robot's trunk stands, in model lengths; the rest is the camera's place around it, in
 * model lengths and degrees. The robot settles for two seconds first. */
#include <GL/osmesa.h>
#include <math.h>
#include <mujoco/mujoco.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCALE = 2, WIDTH = 1280, HEIGHT = 640 }; // drawn SCALE times as large as written

/* Lowers the robot onto what is below it. */
static void settle(const mjModel *m, mjData *d, double x)
{
    d->qpos[0] = x;
    d->qpos[2] += 0.5;
    for (int i = 0; i < m->nu; i++) { // the thighs' middle, as after a reset
        const double *range = m->actuator_ctrlrange + 2 * i;
        if (m->actuator_ctrllimited[i]) d->ctrl[i] = (range[0] + range[1]) / 2;
    }
    while (d->time < 2) mj_step(m, d);
}

/* SCALE x SCALE pixels become one; the first row is the lowest. */
static int write_png(const unsigned char *rgb)
{
    enum { W = WIDTH / SCALE, H = HEIGHT / SCALE };
    static unsigned char small[3 * W * H];
    for (int y = 0; y < H; y++) {
        for (int i = 0; i < 3 * W; i++) {
            const int x = 3 * SCALE * (i / 3) + i % 3;
            int sum = 0;
            for (int k = 0; k < SCALE * SCALE; k++) {
                sum += rgb[3 * WIDTH * (HEIGHT - 1 - SCALE * y - k / SCALE) + x + 3 * (k % SCALE)];
            }
            small[3 * W * y + i] = (unsigned char)(sum / (SCALE * SCALE));
        }
    }
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = PNG_FORMAT_RGB};
    return png_image_write_to_stdio(&image, stdout, 0, small, 0, NULL);
}

static int draw(const mjModel *m, mjData *d, mjvCamera *camera)
{
    static unsigned char rgb[3 * WIDTH * HEIGHT];
    mjvOption option;
    mjvScene scene;
    mjrContext context;
    mjv_defaultOption(&option);
    mjv_defaultScene(&scene);
    mjr_defaultContext(&context);
    mjv_makeScene(m, &scene, 2000);
    mjr_makeContext(m, &context, mjFONTSCALE_100);
    mjr_setBuffer(mjFB_OFFSCREEN, &context);
    mjv_updateScene(m, d, &option, NULL, camera, mjCAT_ALL, &scene);
    const mjrRect view = {0, 0, WIDTH, HEIGHT};
    mjr_render(view, &scene, &context);
    mjr_readPixels(rgb, NULL, view, &context);
    const int ok = write_png(rgb);
    mjr_freeContext(&context);
    mjv_freeScene(&scene);
    return ok;
}

int main(int argc, char **argv)
{
    char why[500] = "";
    if (argc != 6) {
        fprintf(stderr, "usage: render_scene SCENE.xml X DISTANCE AZIMUTH ELEVATION\n");
        return 2;
    }
    OSMesaContext gl = OSMesaCreateContextExt(GL_RGBA, 24, 8, 8, NULL);
    static unsigned char screen[4 * WIDTH * HEIGHT];
    if (!gl || !OSMesaMakeCurrent(gl, screen, GL_UNSIGNED_BYTE, WIDTH, HEIGHT)) {
        fprintf(stderr, "render_scene: OSMesa gives no context\n");
        return 1;
    }
    mjModel *m = mj_loadXML(argv[1], NULL, why, sizeof why);
    if (!m) {
        fprintf(stderr, "render_scene: %s\n", why);
        return 1;
    }
    m->vis.global.offwidth = WIDTH;
    m->vis.global.offheight = HEIGHT;
    mjData *d = mj_makeData(m);
    settle(m, d, strtod(argv[2], NULL));
    mjvCamera camera;
    mjv_defaultCamera(&camera);
    for (int i = 0; i < 3; i++) camera.lookat[i] = d->qpos[i];
    camera.distance = strtod(argv[3], NULL);
    camera.azimuth = strtod(argv[4], NULL);
    camera.elevation = strtod(argv[5], NULL);
    const int ok = draw(m, d, &camera);
    mj_deleteData(d);
    mj_deleteModel(m);
    OSMesaDestroyContext(gl);
    return !ok;
}
