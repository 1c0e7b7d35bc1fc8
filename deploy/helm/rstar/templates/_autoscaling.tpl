{{/*
What a component is scaled by: keda, custom (the custom metrics API), cpu, or none. A model server
on GPUs is not scaled by its CPU. Takes root, component, values.
*/}}
{{- define "rstar.signal" -}}
{{- $scaling := .root.Values.autoscaling -}}
{{- $custom := or (eq $scaling.metrics "custom") (and (eq $scaling.metrics "auto") (.root.Capabilities.APIVersions.Has "custom.metrics.k8s.io/v1beta1")) -}}
{{- if not (dig "autoscaling" "enabled" false .values) -}}
none
{{- else if eq $scaling.by "keda" -}}
keda
{{- else if $custom -}}
custom
{{- else if gt (int (dig "gpus" 0 .values)) 0 -}}
none
{{- else -}}
cpu
{{- end -}}
{{- end -}}

{{/*
The scaler of a component, if it has one. Takes root, component, values, metric (its name in the custom
metrics API), target (a quantity a pod), query (PromQL, where %s stands for the selector of its pods),
threshold and kind (AverageValue or Value) of the query's result.
*/}}
{{- define "rstar.scaler" -}}
{{- $signal := include "rstar.signal" . -}}
{{- if eq $signal "keda" }}
---
{{ include "rstar.scaledObject" . }}
{{- else if ne $signal "none" }}
---
{{ include "rstar.hpa" (merge (dict "signal" $signal) .) }}
{{- end }}
{{- end -}}

{{- define "rstar.hpa" -}}
{{- $current := semverCompare ">=1.23-0" .root.Capabilities.KubeVersion.Version -}}
apiVersion: {{ ternary "autoscaling/v2" "autoscaling/v2beta2" $current }}
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "rstar.name" .root }}-{{ .component }}
  labels:
    {{- include "rstar.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "rstar.name" .root }}-{{ .component }}
  minReplicas: {{ .values.autoscaling.minReplicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: {{ .root.Values.autoscaling.calmSeconds }}
  metrics:
    {{- if eq .signal "custom" }}
    - type: Pods
      pods:
        metric:
          name: {{ .metric }}
        target:
          type: AverageValue
          averageValue: {{ .target | quote }}
    {{- else }}
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: 75
    {{- end }}
{{- end -}}

{{- define "rstar.scaledObject" -}}
{{- $name := printf "%s-%s" (include "rstar.name" .root) .component -}}
{{- /* Pods of a Deployment: its name, the hash of its template, five characters. */ -}}
{{- $pods := printf `namespace="%s",pod=~"%s-[a-z0-9]+-[a-z0-9]{5}"` .root.Release.Namespace $name -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $name }}
  labels:
    {{- include "rstar.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    name: {{ $name }}
  minReplicaCount: {{ .values.autoscaling.minReplicas }}
  maxReplicaCount: {{ .values.autoscaling.maxReplicas }}
  cooldownPeriod: {{ .root.Values.autoscaling.calmSeconds }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: {{ .root.Values.autoscaling.calmSeconds }}
  {{- /* Prometheus away: as many as it takes to go on. KEDA has this for averages alone. */}}
  {{- if eq .kind "AverageValue" }}
  fallback:
    failureThreshold: 3
    replicas: {{ max (int .values.autoscaling.minReplicas) (int .values.replicas) }}
  {{- end }}
  triggers:
    - type: prometheus
      metricType: {{ .kind }}
      metadata:
        serverAddress: {{ .root.Values.autoscaling.prometheus | quote }}
        query: {{ .query | replace "%s" $pods | quote }}
        threshold: {{ .threshold | quote }}
{{- end -}}
