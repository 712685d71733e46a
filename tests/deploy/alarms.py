"""Simulation of CloudWatch's alarms: which ring when the redriver runs, fails, is silent or finds old work, and
which ring over days of requests, good and bad.

As the CloudWatch User Guide says ("Alarm evaluation", "Configuring how CloudWatch alarms treat missing data"): each
minute the last EvaluationPeriods periods are looked at; DatapointsToAlarm of them (all of them by default) must
breach. CloudWatch asks for a few periods more, by how many it does not say (two, in its example). Where these have as
many data points as EvaluationPeriods, the latest of them count and missing ones do not; where they have fewer, the
missing ones are what TreatMissingData says. Each alarm is held against no more period, and against two.
"""
import bisect
import math
import random

DAY = 86_400
# Of a healthy redriver: EventBridge Scheduler invokes within the minute, Lambda ends a run after 55 s, and a line of
# the log is a datum within the next minute.
LATE, LONGEST, COUNTED = 59, 55, 60
# Periods that CloudWatch may look at beside those that it was told.
EXTRA = (0, 2)
# Days of emulated requests for the alarms that the schedule has no part in.
DAYS = 3


def is_allowed(alarm: dict) -> bool:
    """Returns True if CloudWatch takes such periods."""
    period, periods = int(alarm["Period"]), int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    return period % 60 == 0 and period > 0 and 1 <= needed <= periods and period * periods <= DAY


def statistic(alarm: dict):
    """Returns the function that makes one number of a period's values."""
    if "ExtendedStatistic" in alarm:
        share = int(alarm["ExtendedStatistic"].removeprefix("p")) / 100
        return lambda values: sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]
    return {"Sum": sum, "Maximum": max, "SampleCount": len}[alarm["Statistic"]]


def rings(alarm: dict, data: list[tuple[int, int, float]], at: int, extra: int = 0) -> bool:
    """Returns True if the alarm rings at a time, with data of (time, time from which it is seen, value), which are
    in the order of their times."""
    period, periods = int(alarm["Period"]), int(alarm["EvaluationPeriods"])
    threshold = float(alarm["Threshold"])
    breach = {
        "GreaterThanOrEqualToThreshold": lambda value: value >= threshold,
        "LessThanThreshold": lambda value: value < threshold,
    }[alarm["ComparisonOperator"]]
    value_of = statistic(alarm)
    # By the period, the last one first, each up to its end and without that.
    seen: dict[int, list[float]] = {}
    first = bisect.bisect_left(data, (at - period * (periods + extra),))
    for time, visible, value in data[first:bisect.bisect_left(data, (at,))]:
        if visible <= at:
            seen.setdefault((at - time - 1) // period, []).append(value)
    latest = [seen[index] for index in sorted(seen)][:periods]
    breaching = sum(breach(value_of(values)) for values in latest)
    # "missing" and "ignore" change nothing: an alarm that is still stays so.
    breaching += (periods - len(latest)) * (alarm["TreatMissingData"] == "breaching")
    return breaching >= int(alarm.get("DatapointsToAlarm") or periods)


def runs(minutes: int, count: int, pattern: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Returns the begin and the end of each run; `pattern` gives in turn how late and how long they are."""
    begun = [(index * minutes * 60 + pattern[index % len(pattern)][0], pattern[index % len(pattern)][1])
             for index in range(count)]
    return [(at, at + lasting) for at, lasting in begun]


def patterns() -> list[list[tuple[int, int]]]:
    early, late = (0, 0), (LATE, LONGEST)
    drawn = random.Random(11)
    return [[early], [late], [early, late], [late, late, early],
            [(drawn.randint(0, LATE), drawn.randint(0, LONGEST)) for _ in range(7)]]


# Of these a healthy redriver has a datum with each run. An invocation that did not come about has none.
GOOD = {"Errors": 0, "Throttles": 0, "Invocations": 1, "RedriveErrors": 0, "SpillOldestAgeSeconds": 0, "SpillDepth": 0}
SPARSE = {"AsyncEventsDropped", "NumberOfMessagesSent"}


def is_of_schedule(name: str) -> bool:
    return name.startswith("Redrive") or name in ("SpillAgeAlarm", "SpillDepthAlarm")


def check(stack) -> None:
    """Checks the redriver's alarms with this stack's interval and shards."""
    minutes, shards = int(stack.values["RedriveMinutes"]), int(stack.values["RedriveShards"])
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    own = {name: alarm for name, alarm in alarms.items() if is_of_schedule(name)}
    # One shard of several is silent: only its own data can tell. The alarms are alike but for that.
    for index in range(shards):
        of = {one["Value"] for one in own[f"RedriveMissing{index}Alarm"]["Dimensions"] if one["Name"] == "Shard"}
        assert of == {f"{index}/{shards}"}, f"the other shards hide that {index}/{shards} is silent"
    shape = lambda alarm: {key: str(value) for key, value in alarm.items()
                           if key not in ("Dimensions", "AlarmDescription")}
    first_shard = own["RedriveMissing0Alarm"]
    assert all(shape(own.pop(f"RedriveMissing{index}Alarm")) == shape(first_shard) for index in range(1, shards))
    interval = minutes * 60
    count = 9 + 30 // minutes
    minute = lambda at: at - at % 60
    for pattern in patterns():
        made = runs(minutes, count, pattern)
        ended = lambda value, some=made: [(end, end + COUNTED, value(index)) for index, (_, end) in enumerate(some)]
        # Lambda's own metrics have the time at which the run began.
        begun = lambda value, some=made: [(at, at + COUNTED, value(index)) for index, (at, _) in enumerate(some)]
        # From when a whole window lies behind, until the run after the last is due.
        windows = max(int(alarm["Period"]) * int(alarm["EvaluationPeriods"]) for alarm in own.values())
        healthy = range(minute(min(windows, 5 * interval)) + 240, count * interval, 60)
        for name, alarm in own.items():
            metric, threshold = alarm["MetricName"], float(alarm["Threshold"])
            is_absence = alarm["ComparisonOperator"] == "LessThanThreshold"
            data = lambda value: [
                one for one in (ended if alarm["Namespace"] == "hookmq" else begun)(value) if one[2] is not None]
            good = None if metric in SPARSE else GOOD[metric]
            well = data(lambda _: good)
            bad = threshold if metric.startswith("Spill") else 1
            broken, once = (data(lambda index: bad if when(index) else good)
                            for when in (lambda index: index >= 4, lambda index: index == 4))
            for extra in EXTRA:
                where = f"{name}, each {minutes} min, {pattern}, {extra} periods more"
                told = [at for at in healthy if rings(alarm, well, at, extra)]
                assert not told, f"{where}: it rings although all is well: {told[:3]}"
                # A few minutes for what is late; and no more than four runs or what five minutes add to them.
                longest = max(4 * interval, 480) + LATE + LONGEST + COUNTED + extra * int(alarm["Period"])
                if is_absence:
                    # Nothing comes after the last run.
                    last = well[-1][0]
                    late = [at for at in range(minute(last + longest), last + longest + 5 * interval, 60)
                            if not rings(alarm, well, at, extra)]
                    assert not late, f"{where}: it is still while nothing runs: {late[:3]}"
                    continue
                # From the fifth run on all is bad.
                still = [at for at in range(minute(4 * interval + longest), count * interval, 60)
                         if not rings(alarm, broken, at, extra)]
                assert not still, f"{where}: it is still although each run is bad: {still[:3]}"
                if bad == 1 and minutes > 1:
                    # Once: the next run may mend it. (Each minute, five of them make a period.)
                    told = [at for at in healthy if rings(alarm, once, at, extra)]
                    assert not told, f"{where}: it rings for one run: {told[:3]}"


def ordinary(alarm: dict, drawn: random.Random) -> list[tuple[int, int, float]]:
    """Returns days of data without a fault, as busy as they may be: strangers below what is told as too much, spills
    likewise, and requests that take their time."""
    metric, threshold, period = alarm["MetricName"], float(alarm["Threshold"]), int(alarm["Period"])
    # Two periods of the clock can share one of the alarm's.
    few = (threshold - 1) // 2
    data = []
    for begin in range(0, DAYS * DAY, period):
        if metric == "Duration":
            values = [drawn.uniform(5, 900) for _ in range(drawn.choice([0, 1, 1, 1, 3, 3, 3, 450]))]
            if len(values) == 450:
                # One in so many is slow: less than the share that counts. (Of a few, one is a large share.)
                data.append((begin + period // 2, begin + period // 2 + COUNTED, threshold + 1))
        elif alarm["Statistic"] == "Sum" and few >= 1 and drawn.random() < 0.3:
            values = [few]
        elif metric in ("Errors", "Throttles"):
            values = [0] * drawn.randint(0, 4)
        else:
            # Outcomes have no zeros: no data is what is good.
            values = []
        for value in values:
            at = begin + drawn.randrange(period)
            data.append((at, at + COUNTED, value))
    return sorted(data)


def check_days(stack) -> None:
    """Checks the alarms on requests: still over days without a fault, ringing soon after one, and still again."""
    drawn = random.Random(23)
    alarms = {name: alarm for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items()
              if not is_of_schedule(name)}
    for name, alarm in alarms.items():
        period, threshold = int(alarm["Period"]), float(alarm["Threshold"])
        window = period * int(alarm["EvaluationPeriods"])
        well = ordinary(alarm, drawn)
        times = range(0, DAYS * DAY, 60)
        assert not [at for at in times if rings(alarm, well, at, 2)], f"{name} rings although all is well"
        for _ in range(20):
            at = drawn.randrange(DAY, (DAYS - 1) * DAY)
            # As few as may ring it: one request, one datum, or as many as the parameter says, at once.
            bad = [threshold] if alarm["MetricName"] != "Duration" else [threshold + 1] + 49 * [90]
            fault = [(at, at + COUNTED, value) for value in bad]
            # Beside it is nothing for a while, of whole periods.
            quiet = range((at // window - 4) * window, (at // window + 5) * window)
            data = sorted([*(one for one in well if one[0] not in quiet), *fault])
            for extra in EXTRA:
                told = [one for one in range(at - at % 60 - 4 * window, at + 8 * window, 60)
                        if rings(alarm, data, one, extra)]
                soon = at + COUNTED + 60
                assert told and at < told[0] <= soon, f"{name} rings {told[:1]}, which is not soon after {at}"
                over = at + window + extra * period + 60
                assert told[-1] <= over, f"{name} still rings at {told[-1]}, long after {at}"
    # A shift takes minutes, and what goes wrong in its last but two is still within it.
    for name in alarms:
        if "Deployment" in name:
            assert int(alarms[name]["Period"]) + COUNTED <= 120, f"{name} rings when the shift is over"
