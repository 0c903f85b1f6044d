#pragma once
/* speed: how long a network and its layers take in float32 and in eight bits, on this machine. */
#include "quantize/session.h"

/*
 * One image on one thread, both networks with what the tuner finds for them, run in turns. The network's
 * time is that of the thread, so that what else the machine does counts little; of it and of the steps'
 * times the least counts. A layer's time is that of the steps that are called after it, NAN where there is
 * none: a step may do the work of several layers. Fills result's speed and the times of its layers from its
 * file.
 */
int speed_measure(struct session *session, struct quantize_result *result, struct error *error);
