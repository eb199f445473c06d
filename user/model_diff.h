/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MODEL_DIFF_H
#define HEADGATE_MODEL_DIFF_H

#include "model.h"

/**
 * model_diff - what differs between two models, for people
 * @ret: a line for each difference ("llm: backend 10.0.1.13:8000 added to blue\n"), NULL when there is none; to be
 * freed Return: 0 or -ENOMEM.
 */
int model_diff(const struct model *before, const struct model *after, char **ret);

#endif
