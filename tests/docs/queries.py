"""For each metric a question that it answers, and the query; the page of metrics prints them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Query(NamedTuple):
    """One question, and how Prometheus is asked."""

    question: str
    text: str


QUERIES: Mapping[str, Query] = {
    # --- state ----------------------------------------------------------------------------------------
    "smsbat_messages": Query(
        "How many messages are under way?",
        'sum by (campaign) (smsbat_messages{status=~"new|scheduled|processing|other"})',
    ),
    "smsbat_messages_tracked_total": Query(
        "How many ids came in today, and how?",
        "sum by (campaign, source) (increase(smsbat_messages_tracked_total[24h]))",
    ),
    "smsbat_messages_finished_total": Query(
        "How did messages end in the last hour?",
        "sum by (campaign, status) (increase(smsbat_messages_finished_total[1h]))",
    ),
    "smsbat_messages_late_total": Query(
        "How many were delivered after all, once we had stopped asking?",
        'sum by (campaign) (increase(smsbat_messages_late_total{status="delivered"}[24h]))',
    ),
    "smsbat_slo_messages_total": Query(
        "How many messages came of age in the last hour?",
        "sum by (campaign) (increase(smsbat_slo_messages_total[1h]))",
    ),
    "smsbat_slo_missed_total": Query(
        "What share was in time in the last hour?",
        "1 - sum by (campaign) (increase(smsbat_slo_missed_total[1h]))\n"
        "  / (sum by (campaign) (increase(smsbat_slo_messages_total[1h])) > 0)",
    ),
    "smsbat_slo_unobserved_total": Query(
        "How many could nobody look at in time?",
        "sum by (campaign) (increase(smsbat_slo_unobserved_total[1h]))",
    ),
    "smsbat_slo_deadline_seconds": Query(
        "Which campaigns have their oldest pending message beyond its deadline?",
        "time() - min by (campaign) (smsbat_oldest_pending_timestamp_seconds)\n"
        "  > on (campaign) max by (campaign) (smsbat_slo_deadline_seconds)",
    ),
    "smsbat_slo_objective_ratio": Query(
        "How much of the allowed misses of a day is used up?",
        "sum by (campaign) (increase(smsbat_slo_missed_total[1d]))\n"
        "  / on (campaign) (sum by (campaign) (increase(smsbat_slo_messages_total[1d]))\n"
        "    * on (campaign) (1 - max by (campaign) (smsbat_slo_objective_ratio)) > 0)",
    ),
    "smsbat_delivery_ratio": Query(
        "What share of the messages sent in the last hour is delivered by now?",
        'smsbat_delivery_ratio{window="1h"}',
    ),
    "smsbat_fallback_ratio": Query(
        "How often did a channel fall back to another in the last hour?",
        'smsbat_fallback_ratio{window="1h"}',
    ),
    "smsbat_cost_total": Query(
        "What did today cost?",
        "sum by (campaign, currency) (increase(smsbat_cost_total[24h]))",
    ),
    "smsbat_message_parts_total": Query(
        "How many parts has a message?",
        "sum by (campaign) (increase(smsbat_message_parts_total[24h]))\n"
        "  / (sum by (campaign) (increase(smsbat_messages_finished_total[24h])) > 0)",
    ),
    "smsbat_fallbacks_total": Query(
        "Which fallbacks were used?",
        'sum by (type, status) (increase(smsbat_fallbacks_total{status!="not_used"}[1h]))',
    ),
    "smsbat_channel_messages_total": Query(
        "Of what was tried over each channel, which share arrived?",
        'sum by (channel) (increase(smsbat_channel_messages_total{status=~"delivered|read"}[1h]))\n'
        '  / (sum by (channel) (increase(smsbat_channel_messages_total{status!="not_used"}[1h])) > 0)',
    ),
    "smsbat_delivery_duration_seconds": Query(
        "Within which time did 95 of 100 delivered messages arrive?",
        "histogram_quantile(0.95,\n"
        "  sum by (campaign, le) (rate(smsbat_delivery_duration_seconds_bucket[15m])))",
    ),
    "smsbat_oldest_pending_timestamp_seconds": Query(
        "How long has the oldest pending message waited, in seconds?",
        "time() - min by (campaign) (smsbat_oldest_pending_timestamp_seconds)",
    ),
    "smsbat_first_knowledge_total": Query(
        "What share of the ends did webhooks tell first?",
        'sum by (account) (rate(smsbat_first_knowledge_total{source="webhook"}[1h]))\n'
        "  / (sum by (account) (rate(smsbat_first_knowledge_total[1h])) > 0)",
    ),
    "smsbat_state_created_timestamp_seconds": Query(
        "Did the counters begin anew in the last hour?",
        "time() - smsbat_state_created_timestamp_seconds < 3600",
    ),
    # --- this process ---------------------------------------------------------------------------------
    "smsbat_api_up": Query(
        "Is there an account whose requests have failed for five minutes?",
        "max_over_time(smsbat_api_up[5m]) == 0",
    ),
    "smsbat_api_requests_total": Query(
        "How do requests to the provider end, a second?",
        "sum by (account, outcome) (rate(smsbat_api_requests_total[5m]))",
    ),
    "smsbat_api_request_duration_seconds": Query(
        "How long does a request take on average, in seconds?",
        "sum by (account) (rate(smsbat_api_request_duration_seconds_sum[5m]))\n"
        "  / (sum by (account) (rate(smsbat_api_request_duration_seconds_count[5m])) > 0)",
    ),
    "smsbat_api_last_success_timestamp_seconds": Query(
        "How old is the latest usable answer, in seconds?",
        "time() - smsbat_api_last_success_timestamp_seconds",
    ),
    "smsbat_api_rate_limit": Query(
        "How much of the allowed rate is used?",
        "sum by (account) (rate(smsbat_api_requests_total[5m]))\n"
        "  / (sum by (account) (smsbat_api_rate_limit) > 0)",
    ),
    "smsbat_api_paused_until_timestamp_seconds": Query(
        "For how many more seconds does the provider want silence?",
        "smsbat_api_paused_until_timestamp_seconds - time() > 0",
    ),
    "smsbat_circuit_open": Query("Which accounts are only probed now?", "smsbat_circuit_open == 1"),
    "smsbat_polls_due": Query(
        "How many messages wait for their turn?", "sum by (account, priority) (smsbat_polls_due)"
    ),
    "smsbat_poll_lag_seconds": Query(
        "How late were looks in the last ten minutes, at worst?",
        "max_over_time(smsbat_poll_lag_seconds[10m])",
    ),
    "smsbat_unknown_statuses_total": Query(
        "Does the provider use a new word for a status?", "increase(smsbat_unknown_statuses_total[1d]) > 0"
    ),
    "smsbat_status_conflicts_total": Query(
        "Does the provider contradict itself?", "increase(smsbat_status_conflicts_total[1d]) > 0"
    ),
    "smsbat_invalid_costs_total": Query(
        "Are there costs that could not be counted?", "increase(smsbat_invalid_costs_total[1d]) > 0"
    ),
    "smsbat_drop_files_total": Query(
        "How many files could not be used, wholly or in part?",
        'sum by (result) (increase(smsbat_drop_files_total{result!="done"}[1h]))',
    ),
    "smsbat_drop_lines_total": Query(
        "How many ids came in files, and how many were known already?",
        "sum by (result) (increase(smsbat_drop_lines_total[1h]))",
    ),
    "smsbat_drop_lines_rejected_total": Query(
        "Why were entries refused?", "sum by (reason) (increase(smsbat_drop_lines_rejected_total[1h])) > 0"
    ),
    "smsbat_drop_up": Query("Which directory can't be read?", "max_over_time(smsbat_drop_up[5m]) == 0"),
    "smsbat_drop_blocked": Query("Do files wait for room?", "smsbat_drop_blocked == 1"),
    "smsbat_webhook_events_total": Query(
        "What becomes of webhooks?", "sum by (result) (increase(smsbat_webhook_events_total[1h]))"
    ),
    "smsbat_intake_messages_total": Query(
        "What becomes of ids that come over HTTP?",
        "sum by (result) (increase(smsbat_intake_messages_total[1h]))",
    ),
    "smsbat_label_overflow_total": Query(
        "Are there more campaigns than `max_campaigns` allows?",
        "increase(smsbat_label_overflow_total[1h]) > 0",
    ),
    "smsbat_exporter_build_info": Query(
        "Which versions run?", "count by (version, python) (smsbat_exporter_build_info)"
    ),
    "smsbat_exporter_config_last_reload_successful": Query(
        "Is there an exporter whose new configuration was refused?",
        "smsbat_exporter_config_last_reload_successful == 0",
    ),
    "smsbat_exporter_config_last_reload_success_timestamp_seconds": Query(
        "How many seconds ago was the configuration read?",
        "time() - smsbat_exporter_config_last_reload_success_timestamp_seconds",
    ),
    "smsbat_store_up": Query("Can the state be written?", "min_over_time(smsbat_store_up[5m])"),
    "smsbat_store_commit_duration_seconds": Query(
        "Within which time are 99 of 100 transactions durable?",
        "histogram_quantile(0.99,\n"
        "  sum by (instance, le) (rate(smsbat_store_commit_duration_seconds_bucket[5m])))",
    ),
    "smsbat_account_lease_held": Query(
        "How many processes poll each account?", "sum by (account) (smsbat_account_lease_held)"
    ),
    "smsbat_event_loop_lag_seconds": Query(
        "Was the process short of processor time?", "max_over_time(smsbat_event_loop_lag_seconds[10m])"
    ),
    "smsbat_clock_steps_total": Query(
        "Did the machine's clock jump today?", "increase(smsbat_clock_steps_total[1d]) > 0"
    ),
    "smsbat_exporter_log_messages_dropped_total": Query(
        "Were lines of the log lost?", "increase(smsbat_exporter_log_messages_dropped_total[1h]) > 0"
    ),
}
