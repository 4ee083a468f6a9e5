/* small_robot.h - MJCF files of a box on eight hinges, whole or with a part missing. */
#ifndef DEFT_TESTS_SMALL_ROBOT_H
#define DEFT_TESTS_SMALL_ROBOT_H

#include <stdio.h>
#include <string.h>

/* Zero what shall be whole. */
typedef struct small_robot {
    const char *no_joint, *slide, *no_actuator; // names of joints
    const char *no_sensor;                      // an element: "gyro"
    const char *timestep, *integrator, *kp;     // NULL: 0.005, Euler, 200
    const char *mass;                           // of the box, NULL: 5
    const char *extra;                          // further elements of <mujoco>
} small_robot;

static const char *const small_joint[] = {
    "knee1_joint_bl", "thigh_joint1_bl", "knee1_joint_br", "thigh_joint1_br",
    "knee1_joint_fr", "thigh_joint1_fr", "knee1_joint_fl", "thigh_joint1_fl",
};

static inline int small_is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static inline void small_leg(FILE *f, const small_robot *r, int leg)
{
    const char *const thigh = small_joint[2 * leg + 1], *const knee = small_joint[2 * leg];
    (void)fprintf(f, "<body pos='%g %g 0'>", leg < 2 ? -0.9 : 0.9,
                  leg == 0 || leg == 3 ? 0.4 : -0.4);
    for (int i = 0; i < 2; i++) {
        const char *const name = i ? knee : thigh;
        if (i) (void)fprintf(f, "<body pos='0 0 -0.3'>");
        if (!small_is(r->no_joint, name)) {
            (void)fprintf(f, "<joint name='%s' type='%s' axis='0 1 0' armature='1' damping='10'/>",
                          name, small_is(r->slide, name) ? "slide" : "hinge");
        }
        (void)fprintf(f, "<geom type='capsule' size='0.05' fromto='0 0 0 0 0 -0.3' mass='0.5'/>");
    }
    (void)fprintf(f, "</body></body>\n");
}

static inline void small_sensor(FILE *f, const small_robot *r, const char *element)
{
    if (small_is(r->no_sensor, element)) return;
    (void)fprintf(f,
                  strncmp(element, "frame", 5) == 0 ? "<%s objtype='site' objname='imu'/>"
                                                    : "<%s site='imu'/>",
                  element);
}

/* Writes the file; 0 if that failed. */
static inline int small_robot_write(const char *path, const small_robot *r)
{
    FILE *f = fopen(path, "w");
    if (!f) return 0;
    (void)fprintf(f,
                  "<mujoco><option timestep='%s' integrator='%s'/>%s<worldbody>"
                  "<geom type='plane' size='0 0 1' pos='0 0 -0.5'/><body pos='1 0 0.3'><freejoint/>"
                  "<site name='imu'/><geom type='box' size='1 0.4 0.1' mass='%s' contype='0'/>\n",
                  r->timestep ? r->timestep : "0.005", r->integrator ? r->integrator : "Euler",
                  r->extra ? r->extra : "", r->mass ? r->mass : "5");
    for (int leg = 0; leg < 4; leg++) small_leg(f, r, leg);
    (void)fprintf(f, "</body></worldbody><actuator>\n");
    for (int i = 0; i < 8; i++) {
        if (small_is(r->no_joint, small_joint[i])) continue;
        (void)fprintf(f, "<velocity joint='%s' kv='1'/>", small_joint[i]);
        if (small_is(r->no_actuator, small_joint[i])) continue;
        (void)fprintf(f, "<position joint='%s' kp='%s'/>\n", small_joint[i], r->kp ? r->kp : "200");
    }
    (void)fprintf(f, "</actuator><sensor>");
    small_sensor(f, r, "framequat");
    small_sensor(f, r, "framepos");
    small_sensor(f, r, "accelerometer");
    small_sensor(f, r, "gyro");
    (void)fprintf(f, "</sensor></mujoco>\n");
    return fclose(f) == 0;
}

#endif
