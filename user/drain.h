/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_DRAIN_H
#define HEADGATE_DRAIN_H

/* Resetting connections that are to move, at a pace: how far each backend's drain has come. */
#include "splitter.h"

/**
 * drain_share - the share of a drain that is due
 * @pace_permille: of the connections, each second
 * Return: 0..65535, for struct backend's reset_below; 65535 is everyone.
 */
uint16_t drain_share(uint64_t began_ns, uint64_t now_ns, uint32_t pace_permille);

/* Connections that are not where they would be sent now leave a backend from @now_ns on (@resets), or stay. */
void drain_decide(struct splitter *sp, uint32_t backend, bool resets, uint64_t now_ns);

/* Moves every drain on, and ends those whose last connections are gone. Called some times a second. */
void drain_step(struct splitter *sp, uint64_t now_ns);

/* Whether any backend's connections are being reset. */
bool drain_goes_on(const struct splitter *sp);

/* Drains that another daemon began go on from where they were. Called once, with the first model in force. */
void drain_adopt(struct splitter *sp, uint64_t now_ns);

#endif
